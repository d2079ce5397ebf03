r"""Where an answer stands in a text: in a box, behind "####", after "the answer is", as the last number or line."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[-−]?\$?[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|[-−]?\.\d+")
_ONLY_NUMBER = re.compile(rf"(?:{_NUMBER.pattern})\s*\.?")
_MARKED = re.compile(r"####[ \t]*(\S[^\n]*)")
_SAID = re.compile(r"\b(?:answer|choice|option)\b[ \t*]*(?:is\b|[:=])([^\n]*)", re.IGNORECASE)
_BOX = r"\boxed{"


def plain_number(text: str) -> str | None:
    """A number in figures in one form for all that are equal: no groups of three, no zero that says nothing.

    Returns:
        None where the text is not one number, perhaps of dollars and with a full stop.
    """
    text = text.strip()
    if _ONLY_NUMBER.fullmatch(text) is None:
        return None
    # Text and not a float: equal means equal, however many digits there are.
    negative = text.startswith(("-", "−", "$-", "$−"))
    whole, _, part = re.sub(r"[-−$,\s]", "", text).rstrip(".").partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    number = f"{whole}.{part}" if part else whole
    return f"-{number}" if negative and number != "0" else number


def last_number(text: str) -> str | None:
    """The last number in a text, as `plain_number` writes it."""
    found = _NUMBER.findall(text)
    return plain_number(found[-1]) if found else None


def marked(text: str) -> str | None:
    """What stands behind the last "####" on its line, as GSM8K marks its answers."""
    found = _MARKED.findall(text)
    return found[-1].strip() if found else None


def boxed(text: str) -> str | None:
    r"""What the last \boxed{} holds, as MATH marks its answers; None where there is none, or it stays open."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOX)
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[begin:place].strip() or None
    return None


def said(text: str) -> str | None:
    """What follows the last "answer is" or "answer:" on its line, without emphasis and the full stop."""
    found = _SAID.findall(text)
    return _bare(found[-1]) if found else None


def last_line(text: str) -> str | None:
    """The last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def short_answer(text: str) -> str | None:
    """The answer of a text, wherever it says so: in a box, behind "####", after "the answer is", on the last line."""
    return boxed(text) or marked(text) or said(text) or last_line(text)


def _bare(text: str) -> str | None:
    text = text.strip(" \t:*")
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip(" \t*")
    for mark in "$`":
        if len(text) > 2 and text.startswith(mark) and text.endswith(mark):
            text = text[1:-1].strip()
    return text or None
