"""Whole numbers in English words."""

from __future__ import annotations

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *(
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number from 0 to 999,999, as in "three thousand four hundred and twenty-one"."""
    assert 0 <= number < 1_000_000
    if number < 20:
        return _ONES[number]
    if number < 100:
        ones = f"-{_ONES[number % 10]}" if number % 10 else ""
        return _TENS[number // 10 - 2] + ones
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    more, rest = divmod(number, size)
    joint = " and " if rest < 100 else " "
    return f"{in_words(more)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
