"""Charts, links and files of the page, in a real browser; a GIF is read back here and by the browser's own decoder."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thinkling.serving.page_routes import MEDIA_TYPES, PAGE

PLACE = "http://localhost:9/"
"""Nothing listens there: every request is answered by the test. A browser trusts this name as it does TLS."""
DOCUMENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title>
<body style="font-family: sans-serif"><div id="here" style="width: 900px"></div></body></html>"""

TRACE = [
    {
        "step": step,
        "answer": answer,
        "confidence": [0.25 * step] * 4,
        "q_halt": 0.2 * step,
        "q_continue": 0.9 - 0.2 * step,
        "residual": 10.0**-step,
    }
    for step, answer in ((1, "1243"), (2, "1234"), (3, "1234"))
]
VIEW = {
    "name": "sudoku 4×4",
    "grid": {"rows": 2, "columns": 2, "block": [1, 2]},
    "question": ["1", ".", ".", "."],
    "trace": TRACE,
    "limit": 8,
    "status": "verified",
    "result": {"answer": "1234", "trace": TRACE},
}


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page that may import the modules of ours; whatever it says to its console is a failure."""
    context = browser.new_context(viewport={"width": 960, "height": 700}, accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.route("**/*", _answer)
    page.goto(PLACE)
    yield page
    context.close()
    assert complaints == []


def _answer(route: Any) -> None:
    path = route.request.url.removeprefix(PLACE)
    if path == "":
        route.fulfill(body=DOCUMENT, content_type="text/html")
    elif path.startswith("page/"):
        file = PAGE / Path(path).name
        route.fulfill(body=file.read_bytes(), content_type=MEDIA_TYPES[file.suffix])
    else:
        route.fulfill(status=204)


def run(page: Any, module: str, body: str, given: Any = None) -> Any:
    """What the body of an async function returns; `it` is a module of the page, `given` a value."""
    return page.evaluate(
        f"async (given) => {{ const it = await import('/page/{module}'); {body} }}",
        given,
    )


# ------------------------------------------------------------------------------------------------------------ charts
CHARTS = "window.charts = it.mount(document.querySelector('#here'), { onStep: (step) => { window.chosen = step; } });"


def test_charts_show_the_values_of_the_segment_looked_at(page: Any) -> None:
    run(page, "charts.js", CHARTS + "charts.show(given, [[0, 0], [1, 0], [1, 1]], 2);", TRACE)
    pictures = page.locator("svg[role=img]")
    assert pictures.count() == 3
    assert pictures.nth(0).get_attribute("aria-label") == (
        "Halt and continue, after segment 2: halt 0.400, continue 0.500"
    )
    assert pictures.nth(1).get_attribute("aria-label") == "Residual, after segment 2: 0.010"
    assert pictures.nth(2).get_attribute("aria-label") == "Way of the carry, 3 points, now at segment 2"
    assert page.locator(".way-line").count() == 2
    assert page.locator(".way-line.way-ahead").count() == 1
    # Equal steps are equally long in the picture, along both axes.
    lengths = page.evaluate(
        "[...document.querySelectorAll('line.way-line')].map((line) => Math.hypot("
        "line.x2.baseVal.value - line.x1.baseVal.value, line.y2.baseVal.value - line.y1.baseVal.value))"
    )
    assert lengths[0] == pytest.approx(lengths[1])


def test_charts_keep_their_size_while_a_thought_grows(page: Any) -> None:
    run(page, "charts.js", CHARTS)
    height = "document.querySelector('#here').getBoundingClientRect().height"
    before = page.evaluate(height)
    for count in (1, 2, 3):
        page.evaluate(
            "([trace, points, step]) => charts.show(trace, points, step)", [TRACE[:count], None, count]
        )
        assert page.evaluate(height) == before
    page.evaluate("(trace) => charts.show(trace.slice(0, 2), [[0, 0], [1, 0], [2, 0]], 2)", TRACE)
    assert page.evaluate(height) == before > 100
    # Looked at again, curves are drawn up to a segment while the way is known to its end.
    assert page.locator(".charts svg").nth(2).get_attribute("aria-label").endswith("now at segment 2")


def test_charts_of_unusual_numbers_have_no_place_that_is_no_number(page: Any) -> None:
    odd = [
        {"step": 1, "q_halt": None, "q_continue": None, "residual": 0.0},
        {"step": 2, "q_halt": 1.5, "q_continue": None, "residual": 40.0},
    ]
    run(
        page,
        "charts.js",
        CHARTS + "charts.show(given, [[1, 1], [1, 1]], 2); charts.show(given, [[null, 1]], 9);",
        odd,
    )
    run(page, "charts.js", CHARTS + "charts.show(given, [[1, 1], [1, 1]], 2);", odd)
    drawn = page.locator("#here").inner_html()
    assert "NaN" not in drawn
    assert "Infinity" not in drawn
    assert "undefined" not in drawn


def test_pointing_at_a_chart_chooses_the_nearest_segment(page: Any) -> None:
    run(page, "charts.js", CHARTS + "charts.show(given, null, 1);", TRACE)
    box = page.locator(".charts svg").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 14, box["y"] + 40)
    assert page.evaluate("chosen") == 3  # the axis goes on to 4, the thought does not
    page.mouse.click(box["x"] + 40, box["y"] + 40)
    assert page.evaluate("chosen") == 1


# ------------------------------------------------------------------------------------------------------------- links
@pytest.mark.parametrize(
    "state",
    [
        {"puzzle": "12..\n#S G&=%+", "steps": 16, "search": True, "step": 3},
        {"puzzle": "~tilde", "name": "🧩 ä\u2028", "nothing": None, "empty": "", "none": {}},
        {"grid": [[0, 1], [2, 3]], "noise": 0.25, "digits": "16", "__proto__x": "1"},
    ],
)
def test_a_link_restores_its_state_with_the_kinds_of_its_values(page: Any, state: dict[str, Any]) -> None:
    body = "location.hash = it.encode(given); return it.decode(location.hash);"
    assert run(page, "share.js", body, state) == state


@pytest.mark.parametrize("hash", ["", "#", "#section", "#a=~{", "#a=~", "#" + "a=" + "x" * 200_000])
def test_a_link_that_holds_no_state_is_no_state(page: Any, hash: str) -> None:
    assert run(page, "share.js", "return it.decode(given);", hash) is None


def test_the_link_button_copies_or_shows_the_link(page: Any) -> None:
    mount = "it.button(document.querySelector('#here'), () => ({ puzzle: '12..', step: 2 }));"
    run(page, "share.js", mount)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("copy it from here").wait_for()
    assert page.get_by_label("Link to this view").input_value() == f"{PLACE}#puzzle=12..&step=%7E2"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("() => { delete navigator.clipboard.writeText; }")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{PLACE}#puzzle=12..&step=%7E2"
    assert page.url == f"{PLACE}#puzzle=12..&step=%7E2"


# -------------------------------------------------------------------------------------------------------------- GIFs
def decoded(gif: bytes) -> tuple[tuple[int, int], list[list[tuple[int, ...]]], list[int]]:
    """Size, pictures (a colour a pixel) and delays in ms of a GIF89a; written for this test from the specification."""
    assert gif[:6] == b"GIF89a"
    width, height = int.from_bytes(gif[6:8], "little"), int.from_bytes(gif[8:10], "little")
    assert gif[10] & 0x80, "a table of colours for all pictures"
    count = 2 << (gif[10] & 7)
    colours = [tuple(gif[13 + 3 * i : 16 + 3 * i]) for i in range(count)]
    at = 13 + 3 * count
    canvas: list[tuple[int, ...]] = [(0, 0, 0)] * (width * height)
    frames, delays, looped = [], [], False
    while gif[at] != 0x3B:
        if gif[at] == 0x21:
            if gif[at + 1] == 0xF9:
                delays.append(10 * int.from_bytes(gif[at + 4 : at + 6], "little"))
            looped |= gif[at + 3 : at + 14] == b"NETSCAPE2.0"
            _, at = _blocks(gif, at + 2)
            continue
        assert gif[at] == 0x2C
        left, top, wide, high = (int.from_bytes(gif[at + i : at + i + 2], "little") for i in (1, 3, 5, 7))
        data, end = _blocks(gif, at + 11)
        pixels = _unpacked(data, gif[at + 10])
        assert len(pixels) == wide * high
        for i, number in enumerate(pixels):
            canvas[(top + i // wide) * width + left + i % wide] = colours[number]
        frames.append(list(canvas))
        at = end
    assert at == len(gif) - 1
    assert looped
    return (width, height), frames, delays


def _blocks(gif: bytes, at: int) -> tuple[bytes, int]:
    data = b""
    while gif[at]:
        data += gif[at + 1 : at + 1 + gif[at]]
        at += 1 + gif[at]
    return data, at + 1


def _unpacked(data: bytes, least: int) -> list[int]:
    """LZW."""
    bits = int.from_bytes(data, "little")
    clear, size, at = 1 << least, least + 1, 0
    words: list[list[int]] = []
    before: list[int] | None = None
    out: list[int] = []
    while True:
        code = (bits >> at) & ((1 << size) - 1)
        at += size
        bits, at = (bits >> 4096, at - 4096) if at >= 4096 else (bits, at)
        if code == clear:
            words, size, before = [[i] for i in range(clear)] + [[], []], least + 1, None
            continue
        if code == clear + 1:
            return out
        word = words[code] if code < len(words) else [*(before or []), (before or [])[0]]
        out += word
        if before is not None and len(words) < 4096:
            words.append([*before, word[0]])
            size += len(words) == 1 << size and size < 12
        before = word


@pytest.mark.parametrize(
    ("width", "height", "colours", "count"),
    [(1, 1, 1, 1), (2, 3, 2, 2), (7, 5, 5, 3), (40, 30, 16, 3), (160, 120, 256, 2)],
)
def test_a_gif_holds_the_pictures_it_was_made_of(
    page: Any, width: int, height: int, colours: int, count: int
) -> None:
    """Noise, whose many short runs fill LZW's table and begin it anew; read by two decoders that are not ours."""
    made = run(
        page,
        "gif.js",
        """
        const [width, height, colours, count] = given;
        let random = 12345;
        const next = () => { random = (Math.imul(random, 1664525) + 1013904223) >>> 0; return random >>> 8; };
        const palette = Uint8Array.from({ length: 3 * colours }, (_, i) => (i * 67) % 256);
        const frames = Array.from({ length: count }, (_, i) => ({
          pixels: Uint8Array.from({ length: width * height }, () => next() % colours), delay: 100 * (i + 1) }));
        const gif = it.encode({ width, height, palette, frames });
        const decoder = new ImageDecoder({ data: gif, type: "image/gif" });
        await decoder.completed;
        const seen = [];
        for (let i = 0; i < count; i += 1) {
          const { image } = await decoder.decode({ frameIndex: i });
          const rgba = new Uint8Array(4 * width * height);
          await image.copyTo(rgba, { format: "RGBA" });
          const wanted = frames[i].pixels;
          seen.push([image.duration / 1000,
            wanted.every((colour, p) => [0, 1, 2].every((c) => rgba[4 * p + c] === palette[3 * colour + c]))]);
        }
        return { gif: btoa(Array.from(gif, (byte) => String.fromCharCode(byte)).join("")), seen,
                 frames: frames.map(({ pixels }) => [...pixels]), palette: [...palette] };
        """,
        [width, height, colours, count],
    )
    assert made["seen"] == [[100 * (i + 1), True] for i in range(count)]
    size, frames, delays = decoded(base64.b64decode(made["gif"]))
    assert size == (width, height)
    assert delays == [100 * (i + 1) for i in range(count)]
    table = [tuple(made["palette"][3 * i : 3 * i + 3]) for i in range(colours)]
    assert frames == [[table[number] for number in pixels] for pixels in made["frames"]]


def test_more_colours_than_a_gif_has_become_the_nearest_frequent_ones(page: Any) -> None:
    result = run(
        page,
        "gif.js",
        """
        const picture = new Uint8ClampedArray(4 * 4000).fill(255);
        for (let p = 0; p < 400; p += 1) picture.set([p % 256, 0, p >> 8, 255], 4 * p);
        for (let p = 400; p < 2000; p += 1) picture.set([10, 200, 30, 255], 4 * p);
        const { palette, pictures } = it.indexed([picture]);
        const far = [...pictures[0]].map((n, p) => Math.abs(palette[3 * n] - picture[4 * p]));
        const area = [...palette.slice(3 * pictures[0][500]).slice(0, 3)];
        return { colours: palette.length / 3, far: Math.max(...far), area };
        """,
    )
    assert result["colours"] == 256
    assert result["area"] == [10, 200, 30]
    assert result["far"] <= 2


# ------------------------------------------------------------------------------------------------------------- files
DOWNLOADS = "it.buttons(document.querySelector('#here'), () => given);"


def download(page: Any, name: str, folder: Path) -> Path:
    """The file that a button gives."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_the_trace_is_downloaded_as_it_came(page: Any, tmp_path: Path) -> None:
    run(page, "download.js", DOWNLOADS, VIEW)
    path = download(page, "Trace", tmp_path)
    assert path.name == "sudoku-4-4.json"
    assert json.loads(path.read_text()) == VIEW["result"]


def test_a_thought_becomes_a_gif_with_a_picture_a_segment(page: Any, tmp_path: Path) -> None:
    run(page, "download.js", DOWNLOADS, VIEW)
    size, frames, delays = decoded(download(page, "GIF", tmp_path).read_bytes())
    assert len(frames) == len(delays) == 3
    assert size[0] > 100
    assert frames[0] != frames[1] != frames[2]


def test_a_long_thought_becomes_a_gif_of_bounded_length_that_ends_as_it_does(
    page: Any, tmp_path: Path
) -> None:
    long = VIEW | {"trace": [TRACE[0] | {"step": step} for step in range(1, 401)], "limit": 400}
    run(page, "download.js", DOWNLOADS, long)
    size, frames, _ = decoded(download(page, "GIF", tmp_path).read_bytes())
    assert len(frames) == 48
    # The bar under the picture is full at the end: the last segment is among those shown.
    bar = [frames[-1][(size[1] - 5) * size[0] + x] for x in range(size[0])]
    first = [frames[0][(size[1] - 5) * size[0] + x] for x in range(size[0])]
    assert len(set(bar)) == 2
    assert len(set(first)) >= 2


def test_a_thought_becomes_an_svg_that_plays_and_rests_at_its_end(page: Any, tmp_path: Path) -> None:
    odd = VIEW | {"name": "<&\"' 4×4", "status": "verified"}
    run(page, "download.js", DOWNLOADS, odd)
    path = download(page, "SVG", tmp_path)
    root = ElementTree.fromstring(path.read_text())
    name = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{name}title").text == "<&\"' 4×4: 3 segments of thought, verified"
    shown = [each.text or "".join(each.itertext()) for each in root.iter(f"{name}text") if _seen(each)]
    assert "".join(shown) == "1234" + "segment 3 of at most 8" + "verified"
    hidden = ["".join(each.itertext()) for each in root.iter(f"{name}text") if not _seen(each)]
    assert hidden == ["4", "3", "segment 1 of at most 8", "segment 2 of at most 8"]
    assert not re.search(r"<script|href|url\(|on\w+=", path.read_text())
    # A browser reads it as a picture.
    read = """async (text) => { const image = new Image();
        image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
        await image.decode(); return image.naturalWidth; }"""
    assert page.evaluate(read, path.read_text()) == int(root.get("width"))


def _seen(text: ElementTree.Element) -> bool:
    return text.get("visibility", "visible") == "visible"


def test_without_a_thought_there_is_no_file(page: Any) -> None:
    run(page, "download.js", "it.buttons(document.querySelector('#here'), () => null);")
    page.get_by_role("button", name="GIF").click()
    assert page.locator("output").inner_text() == ""
