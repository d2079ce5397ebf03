"""An exported folder thinks in the browser as its file does in Python, with nothing from elsewhere."""

from __future__ import annotations

import functools
import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "puzzles"))

from page_in_browser import opened, shown, type_puzzle
from random_network import write_random_run

from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.load import load
from thinkling.puzzles.onnx_solver import OnnxSolver
from thinkling.puzzles.search import search
from thinkling.serving.web_export import export_web
from thinkling.serving.web_runtime import FILES, cache_folder

HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
"""A puzzle of which the rules alone settle no cell."""
NO_ANSWER = "82" + HARD[2:]
"""The same with a digit too many, which only branching shows to be wrong."""
ENDED = ".verdict[data-status=verified], .verdict[data-status=unsolved]"
"""The verdict, whichever it is."""
RUNTIME = Path(os.environ.get("THINKLING_ORT", cache_folder()))
"""Files of onnxruntime-web: tests fetch nothing, but use what an export has left in the cache."""

pytestmark = pytest.mark.skipif(
    not all((RUNTIME / name).is_file() for name in FILES),
    reason="needs onnxruntime-web: run `thinkling export web` once, or name its folder in THINKLING_ORT",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Any server of static files will do."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a model that knows nothing."""
    folder = tmp_path_factory.mktemp("web")
    export_web(write_random_run(folder / "run", size=9), folder / "site", runtime=RUNTIME)
    return folder / "site"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The folder, served."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_the_browser_says_what_the_file_says(browser: Any, address: str, site: Path) -> None:
    with opened(browser, address) as page:
        page.locator(".examples button").first.click()
        puzzle = shown(page)
        page.locator("button.solve").click()
        page.wait_for_selector(".verdict[data-status=unsolved]", timeout=30_000)
        answer = shown(page)
    model = OnnxSolver.from_file(site / "model.onnx", threads=1)
    expected = model.solve(puzzle)
    assert expected.status == "unsolved"
    # The page shows what was given as it was given, and a cell without an answer as a question.
    blank = [place for place, symbol in enumerate(puzzle) if symbol == "."]
    assert len(blank) > 3
    assert [answer[place] for place in blank] == [expected.answer[place].replace(".", "?") for place in blank]


def test_the_browser_searches_as_python_does(browser: Any, address: str, site: Path) -> None:
    """The network knows nothing: what is branched on is the same all the same, and so is what the search costs."""
    model = load(site.parent / "run", device="cpu", compute_dtype="float32")
    steps, budget = 3, 600
    with opened(browser, address) as page:
        page.click(".how summary")
        page.get_by_label("Segments at most").fill(str(steps))
        page.get_by_label("Search where").check()
        page.get_by_label("Segments for the search").fill(str(budget))
        for puzzle, samples in ((HARD, 1), (HARD, 2), (NO_ANSWER, 1)):
            type_puzzle(page, puzzle)
            page.get_by_label("Chains at once").select_option(str(samples))
            page.click("button.solve")
            page.wait_for_selector(ENDED, timeout=60_000)
            # All of the page's chains begin at once.
            thinking = Thinking(steps=steps, samples=samples, alone=0)
            (found,) = search(model, [model.task.parse(puzzle)], thinking=thinking, budget=budget)
            assert found.nodes > 8
            assert f"{found.segments} in all" in page.inner_text(".figures")
            assert page.locator(".verdict").get_attribute("data-status") == found.status
            if found.status == "verified":
                assert (shown(page), found.solved_by) == (found.answer, "search")
                assert "Found by\nsearch" in page.inner_text(".figures")
            else:
                assert found.outcome == "no_answer"
                assert "no answer keeps all rules" in page.inner_text(".verdict-why")
            page.click("button.edit")
