"""Countdown: make a number from three others with +, - and *, each used once."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from thinkling.tasks.problem import Problem

_LONGEST = 100
_OPERATIONS = {ast.Add: int.__add__, ast.Sub: int.__sub__, ast.Mult: int.__mul__}


@dataclass(frozen=True, kw_only=True)
class Countdown:
    """Three numbers and a target; every way to reach it counts."""

    name: str = field(default="countdown", init=False)
    largest: int = 9
    """Largest of the three numbers."""

    def problem(self, rng: random.Random) -> Problem:
        """Numbers that can reach the target, worked by trying pairs in a fixed order."""
        numbers = [rng.randint(1, self.largest) for _ in range(3)]
        target = rng.choice([value for _, ways in _pairs(numbers) for _, value in ways if 0 < value < 1000])
        question = rng.choice(
            (
                "Make {3} from {0}, {1} and {2}.",
                "Use {0}, {1}, {2} once each with +, - or * to get {3}.",
                "Reach {3} with the numbers {0}, {1} and {2}.",
            )
        ).format(*numbers, target)
        steps = [f"{' '.join(map(str, numbers))} make {target}"]
        for first, ways in _pairs(numbers):
            steps.append(f"{first}: {' '.join(str(value) for _, value in ways)}")
            reached = [expression for expression, value in ways if value == target]
            if reached:
                steps[-1] += " yes"
                return Problem(task=self.name, text=question, answer=reached[0], reasoning="\n".join(steps))
        raise AssertionError("the target is one of the values")

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether an expression uses the numbers of the known answer, each once, and has its value."""
        expected = evaluated(answer)
        found = evaluated(given.strip().rstrip("."))
        numbers = sorted(re.findall(r"\d+", answer))
        return found is not None and found == expected and sorted(re.findall(r"\d+", given)) == numbers


TASKS = (Countdown(),)
"""The tasks of this module."""


def evaluated(expression: str) -> int | None:
    """The value of whole numbers with +, -, * and brackets; None for anything else. Nothing is executed."""
    if len(expression) > _LONGEST or re.fullmatch(r"[\d+*() -]+", expression) is None:
        return None
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not a sum, a difference or a product of whole numbers")


def _pairs(numbers: list[int]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Each pair joined by each operation, as text, with what the third number makes of it."""
    for left, right, other in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        x, y, z = numbers[left], numbers[right], numbers[other]
        for sign, value in (("+", x + y), ("*", x * y), ("-", abs(x - y))):
            pair = f"{max(x, y)}-{min(x, y)}" if sign == "-" else f"{x}{sign}{y}"
            less = f"({pair})-{z}" if value >= z else f"{z}-({pair})"
            ways = [(f"({pair})+{z}", value + z), (f"({pair})*{z}", value * z), (less, abs(value - z))]
            yield f"{pair}={value}", ways
