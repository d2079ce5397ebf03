"""The page's views of Thinking-BERT and of a language model, in a real browser and before a live server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
sys.path.insert(0, str(Path(__file__).parents[1] / "thinking_bert"))

from small_encoder import write_random_run
from small_server import FakeModel, serving, small_tokenizer

from thinkling.lm.request import Request
from thinkling.serving.settings import ServerSettings
from thinkling.thinking_bert.load import load_encoder

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """A function that opens the page of a server. The page may ask nobody else, and nothing may go wrong in it."""
    wrong: list[str] = []
    with ExitStack() as ends:

        def go(address: str, viewport: dict[str, int] = DESK) -> Any:
            root = address.removesuffix("v1")
            context = browser.new_context(viewport=viewport, reduced_motion="reduce")
            ends.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(root) else None
            )
            page.goto(root)
            return page

        yield go
    assert wrong == []


# -------------------------------------------------------------------------------------------------------- filling masks
@pytest.fixture(scope="module")
def encoder_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tiny Thinking-BERT with random weights, served."""
    folder = tmp_path_factory.mktemp("bert")
    write_random_run(folder)
    model = load_encoder(folder, device="cpu", compute_dtype="float32")
    with serving(model, ServerSettings(model_name="bert-small")) as address:
        yield address


def scripted(page: Any, rounds: list[list[tuple[str, float]]]) -> None:
    """Let the page's questions be answered with these best guesses for each mask, round by round."""
    trace = [
        {
            "guesses": [{"token": token, "probability": sure} for token, sure in guesses],
            "q_halt": (number + 1) / (len(rounds) + 1),
        }
        for number, guesses in enumerate(rounds)
    ]
    masks = [
        {
            "position": 1,
            "steps": len(rounds),
            "candidates": [{"token": token, "probability": sure}, {"token": " other", "probability": 0.01}],
        }
        for token, sure in rounds[-1]
    ]
    body = {"masks": masks, "text": "…", "steps": len(rounds), "q_halt": trace[-1]["q_halt"], "trace": trace}

    page.route(
        "**/v1/fill", lambda route: route.fulfill(body=json.dumps(body), content_type="application/json")
    )


def fill(page: Any, text: str) -> None:
    page.get_by_label("Text, with <mask>").fill(text)
    page.get_by_role("button", name="Fill").click()


def test_masks_are_filled_by_a_live_server(opened: Opened, encoder_server: str) -> None:
    page = opened(encoder_server)
    fill(page, "the cat is on the <mask> in [MASK]")
    page.get_by_text("its own estimate of being right").wait_for()
    assert page.locator(".fill-chip").count() == 2
    assert page.locator(".fill-text").inner_text().startswith("the cat is on the ")
    assert page.locator(".candidates li").count() == 5
    rounds = page.locator(".rounds tbody tr").count()
    assert 1 <= rounds <= 4
    assert page.locator(".fill-status").inner_text().startswith(f"round {rounds} of {rounds}")


def test_the_slider_shows_what_every_round_guessed(opened: Opened, encoder_server: str) -> None:
    page = opened(encoder_server)
    scripted(
        page, [[(" Rome", 0.2), ("s", 0.3)], [(" Lyon", 0.5), ("s", 0.3)], [(" Paris", 0.9), ("s", 0.8)]]
    )
    fill(page, "Of <mask>, city<mask>.")
    page.locator(".fill-chip").first.wait_for()
    slider = page.get_by_label("Round", exact=True)
    slider.fill("1")
    assert page.locator(".fill-text").inner_text() == "Of Rome, citys."
    assert "round 1 of 3" in page.locator(".fill-status").inner_text()
    slider.press("ArrowRight")
    assert page.locator(".fill-text").inner_text() == "Of Lyon, citys."
    assert page.locator(".fill-chip.is-changed").all_inner_texts() == ["Lyon"]
    slider.press("End")
    assert page.locator(".fill-text").inner_text() == "Of Paris, citys."
    assert "75 %" in page.locator(".fill-status").inner_text()
    page.get_by_role("button", name="Show round 1").click()
    assert slider.input_value() == "1"
    # Another mask's candidates are a click away.
    assert page.locator(".candidate-word").all_inner_texts() == ["Paris", "other"]
    page.locator(".fill-chip").nth(1).click()
    assert page.locator(".candidate-word").all_inner_texts() == ["s", "other"]
    page.get_by_text("Candidates for mask 2").wait_for()


def test_nothing_below_the_text_moves_from_round_to_round(opened: Opened, encoder_server: str) -> None:
    page = opened(encoder_server, PHONE)
    long = " incomprehensibilities"
    scripted(page, [[(" a", 0.1)] * 3, [(long, 0.2)] * 3, [(" b", 0.3)] * 3])
    fill(page, "One <mask> two <mask> three <mask> four.")
    page.locator(".fill-chip").first.wait_for()
    slider = page.get_by_label("Round", exact=True)
    tops = set()
    for number in "123":
        slider.fill(number)
        tops.add(page.locator(".candidates").bounding_box()["y"])
    assert len(tops) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_text_that_cannot_be_filled_is_refused_in_the_servers_words(
    opened: Opened, encoder_server: str
) -> None:
    page = opened(encoder_server)
    fill(page, "no masks <b>here</b>")
    alert = page.get_by_role("alert").filter(has_text="<mask>")
    alert.wait_for()
    assert "no masks <b>here</b>" in alert.inner_text()
    assert page.locator("b", has_text="here").count() == 0
    # The next one is filled, and the complaint is gone.
    fill(page, "a <mask>")
    page.locator(".fill-chip").wait_for()
    assert alert.count() == 0


def test_a_text_is_never_taken_for_markup(opened: Opened, encoder_server: str) -> None:
    page = opened(encoder_server)
    scripted(page, [[("<img src=x onerror=alert(1)>", 0.9)]])
    fill(page, "<script>alert(1)</script> <mask>")
    page.locator(".fill-chip").wait_for()
    assert page.locator(".fill-chip").inner_text() == "<img src=x onerror=alert(1)>"
    assert page.locator("main img, main script").count() == 0


# --------------------------------------------------------------------------------------------------------- conversation
@pytest.fixture(scope="module")
def talk() -> Iterator[tuple[str, FakeModel, dict[str, str]]]:
    """A language model's address; it thinks and says what the dictionary says, a token every 5 ms."""
    tokenizer = small_tokenizer()
    script = {"thought": "", "reply": ""}

    def reply(request: Request) -> list[int]:
        thought = [tokenizer.think_id, *tokenizer.encode(script["thought"]), tokenizer.end_think_id]
        said = [*tokenizer.encode(script["reply"]), tokenizer.eos_id]
        return [*thought, *said] if script["thought"] else said

    model = FakeModel(tokenizer, reply, pause=0.005)
    model.params = 1_000
    with serving(model, ServerSettings(model_name="lm-small")) as address:
        yield address, model, script


def say(page: Any, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def test_an_answer_arrives_with_its_reasoning_folded(opened: Opened, talk: Any) -> None:
    address, model, script = talk
    script |= {"thought": "two and two", "reply": "four <i>times</i> ä 🧩"}
    page = opened(address)
    say(page, "one <b>two</b>")
    page.get_by_text("a second").wait_for()
    answer = page.locator(".from-model .bubble")
    assert answer.inner_text() == "four <i>times</i> ä 🧩"
    assert page.locator(".from-user .bubble").inner_text() == "one <b>two</b>"
    reasoning = page.locator(".reasoning-text")
    assert not reasoning.is_visible()
    page.get_by_text("Thought for").click()
    assert reasoning.inner_text() == "two and two"
    # What was said before is part of the next question.
    say(page, "three")
    page.get_by_text("a second").nth(1).wait_for()
    prompt = model.tokenizer.decode(model.engines[-1].requests[-1].prompt)
    assert "four <i>times</i>" in prompt
    page.get_by_role("button", name="New conversation").click()
    assert page.locator(".message").count() == 0
    script["thought"] = ""


def test_an_answer_can_be_stopped_and_its_slot_becomes_free(opened: Opened, talk: Any) -> None:
    address, model, script = talk
    script["reply"] = "one " * 150
    page = opened(address)
    say(page, "go on")
    page.locator(".from-model .bubble", has_text="one one").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("stopped").wait_for()
    page.wait_for_timeout(300)
    assert model.engines[-1].cancelled
    said = page.locator(".from-model .bubble").inner_text()
    assert said.startswith("one one")
    assert len(said) < 4 * 150 - 1
    script["reply"] = "two"
    say(page, "and now")
    page.locator(".from-model .bubble").nth(1).get_by_text("two").wait_for()


def test_an_error_is_told_and_the_message_is_not_lost(opened: Opened, talk: Any) -> None:
    address, _, script = talk
    script["reply"] = "yes"
    page = opened(address)
    page.get_by_text("Settings").click()
    page.get_by_label("Temperature").fill("7")
    say(page, "are you there")
    page.get_by_role("alert").filter(has_text="temperature").wait_for()
    assert page.get_by_label("Message").input_value() == "are you there"
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Message").press("Enter")
    page.locator(".from-model .bubble", has_text="yes").wait_for()


def test_an_answer_that_breaks_off_is_told(opened: Opened, talk: Any) -> None:
    address, _, _ = talk
    page = opened(address)
    first = 'data: {"choices":[{"index":0,"delta":{"content":"half"},"finish_reason":null}]}\r\n\r\n'
    page.route(
        "**/v1/chat/completions", lambda route: route.fulfill(body=first, content_type="text/event-stream")
    )
    say(page, "hello")
    page.get_by_role("alert").filter(has_text="broke off").wait_for()
    assert page.locator(".from-model .bubble").inner_text() == "half"


def test_the_conversation_fits_a_phone(opened: Opened, talk: Any) -> None:
    address, _, script = talk
    script["reply"] = "x" * 180
    page = opened(address, PHONE)
    field = page.get_by_label("Message").bounding_box()
    say(page, "y" * 60)
    page.get_by_text("a second").wait_for()
    after = page.get_by_label("Message").bounding_box()
    assert (field["x"], field["y"], field["width"]) == (after["x"], after["y"], after["width"])
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.get_by_role("button", name="Send").bounding_box()["height"] >= 40


def test_events_are_read_wherever_the_stream_is_cut(opened: Opened, talk: Any) -> None:
    page = opened(talk[0])
    script = """async (pieces) => {
        const it = await import("/page/event_stream.js");
        const bytes = pieces.map((piece) => new TextEncoder().encode(piece));
        const read = async (parts) => {
            const body = new ReadableStream({ start(to) { parts.forEach((part) => to.enqueue(part)); to.close(); } });
            const found = [];
            for await (const { event, data } of it.events({ body })) found.push([event, data]);
            return found;
        };
        // Once more in single bytes: a letter may be cut in two.
        return [await read(bytes), await read(bytes.flatMap((part) => [...part].map((byte) => Uint8Array.of(byte))))];
    }"""
    for pieces, events in (
        (["data: a\n\n"], [["message", "a"]]),
        (["event: seg", "ment\ndata: a\ndata:b\n", "\n"], [["segment", "a\nb"]]),
        (["data: a\r", "\n\r\ndata: b\r\r"], [["message", "a"], ["message", "b"]]),
        ([": nothing\n\nid: 3\n\nevent: x\n\ndata: late\n\ndata: cut"], [["message", "late"]]),
        (["data: ä", "€\n\n"], [["message", "ä€"]]),
    ):
        assert page.evaluate(script, pieces) == [events, events]
