"""What a benchmark is: items to ask, the answer found in what a model wrote, and a judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class BenchmarkItem:
    """One question of a benchmark."""

    number: int
    """Its place among the items, from 0."""
    name: str
    """What it is called in the benchmark, or where it was read."""
    prompt: str
    """What a model trained on conversations is asked."""
    answer: str
    """A right answer."""
    beginning: str = ""
    """A text that a model trained on plain text goes on with; empty where such a model cannot be asked."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the judge needs besides, in terms of JSON."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer that stands in a text."""

    strict: str | None
    """The answer where the text has the asked form: nothing but the answer, or the answer where the benchmark's own
    solutions have it."""
    flexible: str | None
    """The answer where it can be found at all, such as the last number."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to judge."""

    item: BenchmarkItem
    """What was asked."""
    text: str
    """The answer as it was found."""
    strict: bool
    """Whether it was found by the strict rule."""


class Benchmark(Protocol):
    """A set of questions, and who judges an answer to one."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def votes(self) -> bool:
        """Whether equal answers can be told, so that several samples can vote."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end what a model trained on plain text writes."""
        ...

    def check(self) -> None:
        """Whether answers can be judged here.

        Raises:
            InputError: a package is missing, or a system that cannot.
            ThinklingError: the sandbox does not work.
        """
        ...

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n questions (0: all).

        Args:
            source: a file or folder in the benchmark's published layout; None: where it is published.
            n: how many.
            seed: of questions that are generated.

        Raises:
            InputError: no such file, a row in another layout (names file and line), or no question.
        """
        ...

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """The answer in what a model wrote after its reasoning."""
        ...

    def ballot(self, answer: str) -> str:
        """One form for all answers that count as equal when samples vote."""
        ...

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether each of some answers is right."""
        ...
