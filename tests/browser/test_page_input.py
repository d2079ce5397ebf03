"""The page of a puzzle model in a real Chromium: the puzzles, settings and links that it is given."""

from __future__ import annotations

from typing import Any

from page_in_browser import PUZZLE, SOLVED, opened, shown
from small_puzzles import knowing_model, serving_puzzles

from thinkling.serving.settings import ServerSettings

MALFORMED = {
    "12": "2 characters",
    "1" * 17: "17 characters",
    "7...............": "at row 1, column 1",
    "11..............": "twice",
    "数独" * 8: "at row 1, column 1",
    "<img src=x onerror=alert(1)>": "characters",
}


def test_a_malformed_puzzle_is_refused_with_what_to_do(page: Any) -> None:
    page.click(".text-box summary")
    for text, said in MALFORMED.items():
        page.fill(".text-box textarea", text)
        page.click(".text-box button")
        assert said in page.inner_text(".verdict-why")
        assert "allowed: " in page.inner_text(".verdict-why")
        assert page.locator(".verdict img").count() == 0


def test_what_the_server_refuses_is_told_in_its_words(page: Any) -> None:
    """Without a single given there are many solutions: the page does not know that, the server does."""
    page.click("button.clear")
    page.click("button.solve")
    page.wait_for_selector(".verdict[data-status=refused]")
    assert "several solutions" in page.inner_text(".verdict-why")
    page.click("button.edit")
    page.locator(".chip").first.click()
    page.click("button.solve")
    page.wait_for_selector(SOLVED)


def test_equal_digits_in_a_unit_are_marked_while_typing(page: Any) -> None:
    page.click("button.clear")
    page.locator(".board .cell").first.focus()
    page.keyboard.press("3")
    page.keyboard.press("3")
    assert page.locator(".cell.breach").count() == 2
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Backspace")
    assert page.locator(".cell.breach").count() == 0


def test_the_keys_under_the_board_serve_who_has_no_keyboard(page: Any) -> None:
    page.click("button.clear")
    page.locator(".board .cell").nth(5).click()
    page.get_by_role("button", name="Digit 4").click()
    assert shown(page) == ".....4.........."
    least = page.evaluate("Math.min(...[...document.querySelectorAll('.key')].map(key => key.offsetHeight))")
    assert least >= 44


def test_a_broken_link_breaks_nothing(page: Any, address: str) -> None:
    for link in (
        "#puzzle=1",
        "#puzzle=~7",
        "#%",
        "#step=~1e9&puzzle=x",
        "#steps=~-5&halt=~[]&puzzle=" + PUZZLE,
    ):
        page.goto("about:blank")
        page.goto(address + link)
        page.wait_for_selector(".chip")
    assert shown(page) == PUZZLE
    page.click("button.solve")
    page.wait_for_selector(".verdict[data-status=unsolved]")
    assert "1 of 1" in page.inner_text(".figures"), "the nearest number of segments that is allowed"


def test_colours_can_be_chosen_and_are_remembered(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    button = page.locator("#theme")
    seen = {}
    for _ in range(3):
        button.click()
        seen[button.get_attribute("aria-label")] = page.evaluate(ground)
    assert seen["Colours: light"] != seen["Colours: dark"]
    button.click()
    page.reload()
    assert page.evaluate(ground) == seen["Colours: light"]


def test_several_chains_are_asked_for(page: Any) -> None:
    page.click(".how summary")
    assert page.get_by_label("Of the chains take").is_disabled()
    page.get_by_label("Chains at once").select_option("4")
    with page.expect_request("**/v1/solve") as asked:
        page.click("button.solve")
    sent = asked.value.post_data_json
    assert (sent["samples"], sent["vary"], sent["select"]) == (4, "symmetry", "valid")
    page.wait_for_selector(SOLVED)


def test_the_page_offers_what_the_server_allows(browser: Any) -> None:
    """Found when a server with a lower limit refused what its own page had offered."""
    settings = ServerSettings(model_name="small", slots=4, max_steps=12, max_budget=40)
    with (
        serving_puzzles(knowing_model(), settings) as client,
        opened(browser, f"http://{client.address}/") as page,
    ):
        page.click(".how summary")
        page.get_by_label("Segments at most").fill("1000")
        page.get_by_label("Segments at most").blur()
        assert page.get_by_label("Segments at most").input_value() == "12"
        page.get_by_label("Search where").check()
        page.get_by_label("Segments for the search").fill("5000")
        page.get_by_label("Segments for the search").blur()
        assert page.get_by_label("Segments for the search").input_value() == "40"
        chains = page.get_by_label("Chains at once").locator("option").all_inner_texts()
        assert chains == ["1", "2", "4"]


def test_an_example_of_the_middle_is_chosen_first(page: Any) -> None:
    chosen = [chip.get_attribute("aria-pressed") for chip in page.locator(".chip").all()]
    assert chosen == ["false", "true", "false"]
