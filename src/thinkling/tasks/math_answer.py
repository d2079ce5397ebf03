r"""Mathematical answers: where one stands in a text, equality after normalisation, equivalence through math-verify.

An answer says one thing. Several boxes, several lines, a chain of equations, "3 or 4" are no answer, whatever right
form may be among them; nor is a calculation that was to be carried out, repeated from the question.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from thinkling.tasks import checkers

_BOX = re.compile(r"\\f?boxed\s*\{")
_MARK = "####"
_SAID = re.compile(r"^(?:so\s+|thus,?\s+)?(?:the\s+)?(?:final\s+)?answer\s*(?:is|:)\s*:?\s*", re.I)
_LONGEST = 200
"""Characters of an answer at most."""
_MOST_BOXES = 20
"""Boxes in a text at most; each may reach to its end, and reading many would take long."""
_WORDS = re.compile(r"\s*(?:\\text\{)?[A-Za-z]{3,}(?:[ .,'()-]+[A-Za-z]+)*[.)}]?")
_NUMBER = re.compile(r"([-+]?)(\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(\.\d+)?")
_FRACTION = re.compile(r"([-+]?)(?:\\frac\{(\d+)\}\{(\d+)\}|(\d+)/(\d+))")
_UNWORKED = re.compile(
    r"\\(?:sum|prod|int|lim|binom|times|cdot|div|log|ln|sin|cos|tan|pm|mp|lor|vee)\b|[!*]|\^|\bor\b|\band\b|\bmod\b"
)
"""What asks for more work; allowed where the known answer has it too."""
_REPLACED = (
    ("−", "-"), ("\\left", ""), ("\\right", ""), ("\\!", ""), ("\\,", ""), ("\\;", ""), ("\\:", ""),
    ("\\ ", " "), ("\\$", ""), ("$", ""), ("\\%", ""), ("%", ""), ("^{\\circ}", ""), ("^\\circ", ""),
    ("dfrac", "frac"), ("tfrac", "frac"), ("cfrac", "frac"), ("\\lbrace", "\\{"), ("\\rbrace", "\\}"),
    ("\\displaystyle", ""), ("\\tiny", ""), ("~", " "),
)  # fmt: skip


def boxes(text: str) -> list[str]:
    r"""What each \boxed{} holds, in order; an open one holds nothing."""
    found = []
    for match in _BOX.finditer(text):
        depth = 1
        for place in range(match.end(), len(text)):
            depth += (text[place] == "{") - (text[place] == "}")
            if depth == 0:
                found.append(text[match.end() : place].strip())
                break
        else:
            found.append("")
    return found


def final_answer(text: str) -> str | None:
    """The one answer of a text: in its box, behind "####", or the text itself where it is a line.

    Returns:
        None where there is none, where there are several that differ, or where it is longer than an answer.
    """
    text = text.strip()
    if len(_BOX.findall(text)) > _MOST_BOXES:
        return None
    lines = (line.strip() for line in text.splitlines())
    marked = [line.removeprefix(_MARK).strip() for line in lines if line.startswith(_MARK)]
    for several in (boxes(text), marked):
        if several:
            distinct = {normalised(each) for each in several}
            return _short(several[0]) if len(distinct) == 1 else None
    if "\n" in text:
        return None
    return _short(_SAID.sub("", text, count=1))


def _short(answer: str) -> str | None:
    return answer if answer and len(answer) <= _LONGEST else None


def normalised(answer: str) -> str:
    r"""An answer without what does not change it: white space, dollars, per cent, sizes of brackets, units in \text.

    After `_strip_string` of Hendrycks et al. 2021 (arXiv 2103.03874).
    """
    answer = answer.strip()
    for old, new in _REPLACED:
        answer = answer.replace(old, new)
    # A unit follows its number; a text alone is the answer.
    answer = re.sub(r"(?<=[\d}])\s*\\(?:text|mbox|mathrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?\s*$", "", answer)
    answer = re.sub(r"\\(?:text|textbf|mbox|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", answer)
    answer = re.sub(r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}", answer)
    answer = re.sub(r"\\sqrt\s*(\w)", r"\\sqrt{\1}", answer)
    answer = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", answer) if _one_number(answer) else answer
    # A blank between two words, or two numbers, divides them; all others are layout.
    answer = re.sub(r"(?<=\w) (?=\w)", "\0", re.sub(r"\s+", " ", answer)).replace(" ", "").replace("\0", " ")
    answer = answer.rstrip(".").casefold()
    answer = re.sub(r"^[a-z]=(?=[^=]+$)", "", answer)
    exact = _value(answer)
    return str(exact) if exact is not None and "/" not in answer and "frac" not in answer else answer


def _one_number(answer: str) -> bool:
    return _NUMBER.fullmatch(answer.strip().rstrip(".")) is not None


def same_text(expected: str, given: str) -> bool:
    """Exact match: whether the one answer of a text is the known one after normalisation."""
    answer = final_answer(given)
    return answer is not None and normalised(answer) == normalised(_known(expected))


def equivalent(expected: str, given: str, *, question: str = "", seconds: float = checkers.SECONDS) -> bool:
    """Whether the one answer of a text is mathematically equal to the known one.

    Args:
        expected: the known answer.
        given: a text with an answer.
        question: what was asked; an expression copied from it is no answer.
        seconds: wall-clock time for the comparison.

    Raises:
        InputError: math-verify is needed and not installed.
    """
    answer = final_answer(given)
    if answer is None:
        return False
    expected = _known(expected)
    wanted, found = normalised(expected), normalised(answer)
    if not found:
        return False
    if wanted == found:
        return True
    value = _value(wanted)
    if value is not None:
        # A number is compared exactly, and a quotient must be worked out as far as the known answer is.
        return _value(found) == value and _worked_out(wanted, found)
    if _WORDS.fullmatch(expected) or not _says_one_thing(wanted, found) or _copied(found, question):
        return False
    return _through_math_verify(expected, answer, seconds)


@lru_cache(maxsize=4096)
def _through_math_verify(expected: str, given: str, seconds: float) -> bool:
    """A group of completions gives the same answers again and again."""
    return checkers.math_right(expected, given, seconds=seconds)


def _known(expected: str) -> str:
    """The known answer itself, which may stand in a box or behind "####"."""
    return final_answer(expected) or expected


def _value(answer: str) -> Fraction | None:
    """The value of a number or of a quotient of two whole numbers; None for anything else."""
    number = _NUMBER.fullmatch(answer)
    if number is not None:
        return Fraction(f"{number[1]}{number[2].replace(',', '') or '0'}{number[3] or ''}")
    quotient = _FRACTION.fullmatch(answer)
    if quotient is None:
        return None
    above, below = int(quotient[2] or quotient[4]), int(quotient[3] or quotient[5])
    return Fraction(-above if quotient[1] == "-" else above, below) if below else None


def _worked_out(wanted: str, found: str) -> bool:
    """Whether a number is written without a quotient, or with the one in lowest terms of a known answer that is one."""
    quotient = _FRACTION.fullmatch(found)
    if quotient is None:
        return True
    if _FRACTION.fullmatch(wanted) is None and "." not in wanted:
        return False
    value = _value(found)
    return value is not None and value.denominator == int(quotient[3] or quotient[5])


def _says_one_thing(wanted: str, found: str) -> bool:
    """Whether an answer has no more parts, relations and open calculations than the known one."""
    if len(found) > 2 * len(wanted) + 40:
        return False
    if any(
        found.count(sign) > wanted.count(sign)
        for sign in ("=", ",", ";", "\\cup", "\\approx", "\\to", "\\in")
    ):
        return False
    return all(sign in _signs(wanted) for sign in _signs(found))


def _signs(answer: str) -> set[str]:
    return set(_UNWORKED.findall(answer))


def _copied(found: str, question: str) -> bool:
    """Whether an answer that is more than a symbol stands in the question as it is."""
    return len(found) > 2 and found in normalised(question)
