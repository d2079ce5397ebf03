"""Comparing, sorting and counting numbers, worked one number at a time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from thinkling.tasks.arithmetic import same_number, spelled_or_not
from thinkling.tasks.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Compare:
    """The larger or smaller of two different numbers."""

    name: str = field(default="compare", init=False)
    digits: int = 5
    """Digits of the longest number."""

    def problem(self, rng: random.Random) -> Problem:
        """Two numbers drawn from a generator, often of the same length with the same first digits."""
        a = rng.randrange(10 ** rng.randint(1, self.digits))
        b = a
        while b == a:
            place = 10 ** rng.randrange(len(str(a)))
            b = rng.randrange(10 ** rng.randint(1, self.digits))
            if rng.random() < 0.7:
                b = a - a // place % 10 * place + rng.randrange(10) * place
        word = rng.choice(("larger", "smaller"))
        question = rng.choice(
            ("Which is {2}: {0} or {1}?", "Which number is {2}, {0} or {1}?", "Name the {2} of {0} and {1}.")
        ).format(spelled_or_not(rng, a), spelled_or_not(rng, b), word)
        answer = max(a, b) if word == "larger" else min(a, b)
        steps = [f"{a} and {b}"]
        if len(str(a)) != len(str(b)):
            steps.append(f"digits: {len(str(a))}{'>' if a > b else '<'}{len(str(b))}")
        else:
            steps.append(f"digits: {len(str(a))}={len(str(b))}")
            for x, y in zip(str(a), str(b), strict=True):
                steps.append(f"{x}{'=' if x == y else '>' if x > y else '<'}{y}")
                if x != y:
                    break
        steps.append(f"{a}{'>' if a > b else '<'}{b}, {word}")
        return Problem(task=self.name, text=question, answer=str(answer), reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the numbers are equal."""
        return same_number(answer, given)


@dataclass(frozen=True, kw_only=True)
class Sort:
    """A few different numbers in ascending or descending order."""

    name: str = field(default="sort", init=False)
    longest: int = 5
    """Most numbers in a list."""
    digits: int = 3
    """Digits of the longest number."""

    def problem(self, rng: random.Random) -> Problem:
        """A list drawn from a generator."""
        count, digits = rng.randint(3, self.longest), rng.randint(2, self.digits)
        numbers = rng.sample(range(10**digits), count)
        if rng.random() < 0.5:  # of different lengths, which a range as a whole hardly ever gives
            numbers = _different(rng, digits, count)
        down = rng.random() < 0.5
        order = "descending" if down else "ascending"
        listed = ", ".join(map(str, numbers))
        question = rng.choice(
            ("Sort in {1} order: {0}.", "Put {0} in {1} order.", "Write these numbers in {1} order: {0}.")
        ).format(listed, order)
        steps, left = [], list(numbers)
        while len(left) > 1:
            best = max(left) if down else min(left)
            steps.append(f"{'largest' if down else 'smallest'} of {' '.join(map(str, left))}: {best}")
            left.remove(best)
        steps.append(f"left {left[0]}")
        answer = ", ".join(map(str, sorted(numbers, reverse=down)))
        return Problem(task=self.name, text=question, answer=answer, reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the same numbers stand in the same order, whatever is between them."""
        if re.fullmatch(r"[\d\s,;<>]+\.?", given.strip()) is None:
            return False
        return re.findall(r"\d+", given) == re.findall(r"\d+", answer)


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many numbers of a list are above or below a number, even or odd."""

    name: str = field(default="count", init=False)
    longest: int = 6
    """Most numbers in a list."""

    def problem(self, rng: random.Random) -> Problem:
        """A list drawn from a generator."""
        numbers = [rng.randrange(100) for _ in range(rng.randint(3, self.longest))]
        limit = rng.randrange(10, 90)
        conditions: dict[str, Callable[[int], bool]] = {
            "even": lambda number: number % 2 == 0,
            "odd": lambda number: number % 2 == 1,
            f"above {limit}": lambda number: number > limit,
            f"below {limit}": lambda number: number < limit,
        }
        condition, holds = rng.choice([*conditions.items()])
        listed = ", ".join(map(str, numbers))
        question = rng.choice(
            ("How many of {0} are {1}?", "Count the numbers that are {1}: {0}.", "Of {0}, how many are {1}?")
        ).format(listed, condition)
        steps, count = [condition], 0
        for number in numbers:
            count += holds(number)
            steps.append(f"{number} {'yes' if holds(number) else 'no'}, {count}")
        return Problem(task=self.name, text=question, answer=str(count), reasoning="\n".join(steps))

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether the numbers are equal."""
        return same_number(answer, given)


TASKS = (Compare(), Sort(), Count())
"""The tasks of this module."""


def _different(rng: random.Random, digits: int, count: int) -> list[int]:
    """Different numbers, each of 1 to `digits` digits."""
    numbers: list[int] = []
    while len(numbers) < count:
        number = rng.randrange(10 ** rng.randint(1, digits))
        if number not in numbers:
            numbers.append(number)
    return numbers
