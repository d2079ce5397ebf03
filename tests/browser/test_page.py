"""The page of a puzzle model in a real Chromium, in front of a real server: solving and looking at the thought."""

from __future__ import annotations

from typing import Any

from page_in_browser import NEEDED, PUZZLE, SOLUTION, SOLVED, at_segment, opened, shown, type_puzzle
from small_puzzles import knowing_model, serving_puzzles

from thinkling.serving.settings import ServerSettings


def test_a_puzzle_is_typed_solved_and_looked_at_segment_by_segment(everywhere: Any) -> None:
    page = everywhere
    type_puzzle(page, PUZZLE)
    assert shown(page) == PUZZLE
    page.click("button.solve")
    page.wait_for_selector(SOLVED)
    assert page.inner_text(".verdict-word").startswith("Verified")
    assert shown(page) == SOLUTION
    assert f"{NEEDED} of 8" in page.inner_text(".figures")
    slider = page.get_by_role("slider", name="Segment")
    assert slider.get_attribute("aria-valuetext").startswith(f"segment {NEEDED} of {NEEDED}")

    slider.focus()
    for _ in range(NEEDED - 1):
        page.keyboard.press("ArrowLeft")
    assert page.inner_text(".readout").startswith("Segment 1")
    assert shown(page) != SOLUTION
    assert page.inner_text(".verdict-word").startswith("Verified"), "what came out stays"
    page.keyboard.press("End")
    assert shown(page) == SOLUTION
    assert page.locator(".cell.changed").count() > 0

    bars = page.locator(".bars .bar")
    assert bars.count() == 8
    assert page.locator(".bars .bar.used").count() == NEEDED
    box = bars.nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.inner_text(".readout").startswith("Segment 2")


def test_play_goes_through_the_segments_and_pause_stops_it(browser: Any, address: str) -> None:
    with opened(browser, address, motion=True) as page:
        play_and_pause(page)


def play_and_pause(page: Any) -> None:
    page.click("button.solve")
    page.wait_for_selector(SOLVED)
    page.get_by_role("button", name="Play").click()
    at_segment(page, 2)
    page.get_by_role("button", name="Pause").click()
    before = page.inner_text(".readout")
    page.wait_for_timeout(700)
    assert page.inner_text(".readout") == before
    page.keyboard.press("Escape")
    page.locator(".board .cell").first.focus()
    page.keyboard.press("Space")
    at_segment(page, NEEDED)


def test_nothing_moves_while_it_thinks(everywhere: Any) -> None:
    """The board, the button, the verdict and the curves stay where they are, from first to last segment."""
    page = everywhere
    places = """() => ['.board', '.timeline', '.verdict', '.figures', '.charts-here', '.options'].map(name => {
        const box = document.querySelector(name).getBoundingClientRect();
        return [name, Math.round(box.top + scrollY), Math.round(box.left)];
    }).filter(([name]) => name !== '.timeline')"""
    before = page.evaluate(places)
    page.click("button.solve")
    page.locator(".bar.used").nth(1).wait_for()
    assert page.evaluate(places) == before
    page.wait_for_selector(SOLVED)
    assert page.evaluate(places) == before
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_cell_tells_its_story(page: Any) -> None:
    page.click("button.solve")
    page.wait_for_selector(SOLVED)
    given = next(place for place, symbol in enumerate(shown_question(page)) if symbol)
    page.locator(".board .cell").nth(given).click()
    assert page.inner_text(".readout").endswith("given")
    page.locator(".board .cell[data-kind=said]").first.click()
    assert "% sure" in page.inner_text(".readout")
    label = page.locator(".board .cell[data-kind=said]").first.get_attribute("aria-label")
    assert "% sure" in label


def shown_question(page: Any) -> list[bool]:
    """Which cells are given."""
    return page.evaluate(
        "[...document.querySelectorAll('.board .cell')].map(cell => cell.dataset.kind === 'given')"
    )


def test_a_link_restores_puzzle_settings_and_segment(page: Any, address: str) -> None:
    page.click(".how summary")
    page.get_by_label("Stop when").select_option("never")
    page.get_by_label("Segments at most").fill("6")
    page.click("button.solve")
    page.wait_for_selector(SOLVED)
    link = page.evaluate(
        "state => import('./page/share.js').then(share => share.link(state))",
        {"puzzle": PUZZLE, "halt": "never", "steps": 6, "step": 2},
    )
    page.goto("about:blank")
    page.goto(link)
    at_segment(page, 2)
    page.wait_for_selector(SOLVED)
    assert page.locator(".bars .bar.used").count() == 6
    assert "all segments are used" in page.text_content(".how-short")


def test_stop_ends_a_thought(browser: Any) -> None:
    """The slots of the server are free again, and what had come stays to be looked at."""
    model = knowing_model(needed=lambda question: 1000, pause=0.05)
    with serving_puzzles(model, ServerSettings(model_name="slow")) as client:
        page = browser.new_page()
        page.goto(f"http://{client.address}/")
        page.click(".how summary")
        page.get_by_label("Segments at most").fill("400")
        page.click("button.solve")
        page.locator(".bar.used").nth(1).wait_for()
        page.click("button.solve")
        assert page.inner_text(".verdict-word") == "Stopped"
        for _ in range(100):
            if client.call("GET", "/health")[1]["open"] == 0:
                break
            page.wait_for_timeout(20)
        assert client.call("GET", "/health")[1]["open"] == 0
        page.close()
