"""Where an answer stands in a text."""

from __future__ import annotations

import time

import pytest

from thinkling.lm.benchmarks.answer_forms import (
    boxed,
    last_number,
    marked,
    plain_number,
    said,
    short_answer,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", "18"),
        (" $1,234.50 ", "1234.5"),
        ("-7.", "-7"),
        ("−3", "-3"),
        ("$-5", "-5"),
        ("-$5", "-5"),
        ("51.0", "51"),
        ("007", "7"),
        (".50", "0.5"),
        ("-0", "0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("18 eggs", None),
        ("18 19", None),
        ("1,2", None),
        ("", None),
        ("1e5", None),
    ],
)
def test_a_number_in_one_form(text: str, number: str | None) -> None:
    assert plain_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She makes $18 every day.", "18"),
        ("9 * 2 = 18.", "18"),
        ("between 3,4 and 1,200,000 dollars", "1200000"),
        ("3,4567", "4567"),
        ("It is 12.5%", "12.5"),
        ("none", None),
    ],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


def test_marks() -> None:
    assert marked("so\n#### 1,000\n#### 12 \n") == "12"
    assert marked("no mark") is None
    assert boxed(r"first \boxed{1}, then \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert boxed(r"\boxed{\frac{1}{2}") is None, "a box that stays open is none"
    assert boxed(r"\boxed{ }") is None
    assert said("The answer is 5.\nSo the final answer is: **12**.") == "12"
    assert said("Answer: (B)") == "(B)"
    assert said("The answer is $x+1$.") == "x+1"
    assert said("An answering machine") is None
    assert short_answer("1+1\n\n2\n") == "2"
    assert short_answer(r"The answer is 3, so \boxed{4}") == "4"
    assert short_answer("  \n") is None


@pytest.mark.parametrize(
    "text",
    [
        "answer is" + " " * 50_000,
        "####" + " " * 50_000,
        "1," * 50_000,
        r"\boxed{" * 20_000,
        "answer " * 20_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """A model that repeats itself must not hold up the judge."""
    start = time.perf_counter()
    short_answer(text)
    last_number(text)
    plain_number(text)
    assert time.perf_counter() - start < 2
