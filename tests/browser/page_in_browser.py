"""The page as the tests of this folder open and read it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from small_puzzles import puzzles

from thinkling.tasks.sudoku import Sudoku

NEEDED = 3
"""Segments after which the network of these tests is right."""
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PUZZLE = puzzles(1)[0]
SOLUTION = Sudoku(4).format(Sudoku(4).solve(Sudoku(4).parse(PUZZLE))[0])
SOLVED = ".verdict[data-status=verified]"
"""The verdict, once it is that."""


@contextlib.contextmanager
def opened(browser: Any, address: str, device: str = "desk", *, motion: bool = False) -> Iterator[Any]:
    """The page, open; whatever it asks of other addresses or says to its console is a failure."""
    context = browser.new_context(
        viewport=DESK if device == "desk" else PHONE,
        color_scheme="light" if device == "desk" else "dark",
        has_touch=device == "phone",
        reduced_motion="no-preference" if motion else "reduce",
    )
    context.set_default_timeout(5000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if expected_not(said) else None)
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith((address, "blob:", "about:")) else faults.append(asked.url)
        ),
    )
    page.goto(address)
    page.wait_for_selector(".cell")
    yield page
    context.close()
    assert faults == []


def is_elsewhere(url: str, address: str) -> bool:
    """Whether a request leaves the server of the page."""
    return not url.startswith((address, "blob:", "data:", "about:"))


def expected_not(said: Any) -> bool:
    """Errors of the console; that the server refused a puzzle is what some tests ask for."""
    return said.type == "error" and "status of 400" not in said.text


def shown(page: Any) -> str:
    """What stands in the cells, `.` where nothing does."""
    texts = page.locator(".board .cell").all_text_contents()
    return "".join(text or "." for text in texts)


def at_segment(page: Any, number: int) -> None:
    """Waits until a segment is shown."""
    from playwright.sync_api import expect  # only there where the browser tests run

    spoken = re.compile(f"^segment {number} of ")
    expect(page.locator(".scrub")).to_have_attribute("aria-valuetext", spoken, timeout=5000)


def type_puzzle(page: Any, puzzle: str) -> None:
    """On an empty board, cell by cell, with the keyboard alone."""
    page.click("button.clear")
    page.locator(".board .cell").first.focus()
    for symbol in puzzle:
        page.keyboard.press(symbol)
