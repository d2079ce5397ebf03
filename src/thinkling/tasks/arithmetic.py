"""Sums, differences and products by one digit, worked place by place with their carries."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from thinkling.tasks.number_words import in_words
from thinkling.tasks.problem import Problem

PLACES = ("ones", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands")
"""Names of a number's digits, from the right."""

_SPELLED = 0.15
_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:[ ,]\d{3})+|\d{1,1000})")


@dataclass(frozen=True, kw_only=True)
class Sum:
    """a + b, each of up to so many digits."""

    name: str = field(default="sum", init=False)
    digits: int = 5
    """Digits of the longest number."""

    def problem(self, rng: random.Random) -> Problem:
        """A sum drawn from a generator."""
        a, b = _operand(rng, self.digits), _operand(rng, self.digits)
        question = _asked(
            rng,
            (a, b),
            "What is {0} + {1}?",
            "Add {0} and {1}.",
            "{0} plus {1}?",
            "Find the sum of {0} and {1}.",
            "A shop sold {0} apples on Monday and {1} on Tuesday. How many in all?",
            "Tom has {0} coins and gets {1} more. How many does he have now?",
        )
        steps, carry = [f"{a}+{b}"], 0
        for place, x, y in _places(a, b):
            total = x + y + carry
            steps.append(f"{place}: {x}+{y}{_plus(carry)}={total}")
            carry = total // 10
        return Problem(task=self.name, text=question, answer=str(a + b), reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the numbers are equal."""
        return same_number(answer, given)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a - b, each of up to so many digits; below zero one time in ten."""

    name: str = field(default="difference", init=False)
    digits: int = 5
    """Digits of the longest number."""

    def problem(self, rng: random.Random) -> Problem:
        """A difference drawn from a generator."""
        b, a = sorted((_operand(rng, self.digits), _operand(rng, self.digits)))
        negative = rng.random() < 0.1 and a != b
        first, second = (b, a) if negative else (a, b)
        question = _asked(
            rng,
            (first, second),
            "What is {0} - {1}?",
            "Subtract {1} from {0}.",
            "{0} minus {1}?",
            "Find the difference: {0} less {1}.",
        )
        steps, borrow, written = [f"{first}-{second}"], 0, ""
        if negative:
            steps.append(f"less than 0: {a}-{b}")
        for place, x, y in _places(a, b):
            rest = x - y - borrow
            steps.append(f"{place}: {x}-{y}{_minus(borrow)}={rest}")
            borrow = int(rest < 0)
            if borrow:
                steps[-1] += f", borrow {rest + 10}"
            written = str(rest % 10) + written
        steps.append(f"result {written}")
        return Problem(task=self.name, text=question, answer=str(first - second), reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the numbers are equal."""
        return same_number(answer, given)


@dataclass(frozen=True, kw_only=True)
class Product:
    """A number of up to so many digits times one digit."""

    name: str = field(default="product", init=False)
    digits: int = 4
    """Digits of the longer factor."""

    def problem(self, rng: random.Random) -> Problem:
        """A product drawn from a generator."""
        a, b = _operand(rng, self.digits), rng.randint(2, 9)
        question = _asked(
            rng,
            (a, b),
            "What is {0} * {1}?",
            "Multiply {0} by {1}.",
            "{0} times {1}?",
            "Find the product of {0} and {1}.",
            "A box holds {0} nails. How many nails are in {1} boxes?",
        )
        steps, carry = [f"{a}*{b}"], 0
        for place, x, _ in _places(a, 0):
            total = x * b + carry
            steps.append(f"{place}: {x}*{b}{_plus(carry)}={total}")
            carry = total // 10
        return Problem(task=self.name, text=question, answer=str(a * b), reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the numbers are equal."""
        return same_number(answer, given)


TASKS = (Sum(), Difference(), Product())
"""The tasks of this module."""


def same_number(expected: str, given: str) -> bool:
    """Whether a text is one whole number, digits perhaps in groups of three, and the expected one."""
    found, wanted = _whole_number(given), _whole_number(expected)
    return found is not None and found == wanted


def _whole_number(text: str) -> int | None:
    """The number that a text is; None where it is anything else."""
    text = text.strip().rstrip(".")
    if _NUMBER.fullmatch(text) is None:
        return None
    return int(re.sub("[ ,]", "", text).replace("−", "-"))


def spelled_or_not(rng: random.Random, number: int) -> str:
    """A number in figures, now and then one below a thousand in words."""
    return in_words(number) if number < 1000 and rng.random() < _SPELLED else str(number)


def _operand(rng: random.Random, digits: int) -> int:
    """A number of 1 to `digits` digits, longer ones more often."""
    size = max(rng.randint(1, digits), rng.randint(1, digits))
    return rng.randrange(10 ** (size - 1) if size > 1 else 0, 10**size)


def _asked(rng: random.Random, numbers: Sequence[int], *templates: str) -> str:
    text = rng.choice(templates).format(*(spelled_or_not(rng, number) for number in numbers))
    return text[0].upper() + text[1:]


def _places(a: int, b: int) -> Iterator[tuple[str, int, int]]:
    """Name and digits of each place of the longer number, from the right."""
    for place in range(max(len(str(a)), len(str(b)))):
        yield PLACES[place], a // 10**place % 10, b // 10**place % 10


def _plus(carry: int) -> str:
    return f"+{carry}" if carry else ""


def _minus(borrow: int) -> str:
    return f"-{borrow}" if borrow else ""
