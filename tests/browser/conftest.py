"""A browser, and the page in it in front of a real server whose network knows every 4x4 Sudoku."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "serving")]

from page_in_browser import NEEDED, opened  # noqa: E402 - found by the line above
from small_puzzles import knowing_model, serving_puzzles  # noqa: E402 - found by the line above

from thinkling.serving.settings import ServerSettings  # noqa: E402 - found by the line above

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    if CHROMIUM is None:
        pytest.skip("the browser tests need chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def blank(browser: Any) -> Iterator[Any]:
    """A window on a desk, of no server yet; errors of its scripts are failures."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server whose network is right after `NEEDED` segments."""
    with serving_puzzles(
        knowing_model(needed=lambda question: NEEDED, pause=0.01), ServerSettings(model_name="small")
    ) as client:
        yield f"http://{client.address}/"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at a desk."""
    with opened(browser, address) as page:
        yield page


@pytest.fixture(params=["desk", "phone"])
def everywhere(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """The page at a desk in light colours, and in a hand in dark ones."""
    with opened(browser, address, request.param) as page:
        yield page
