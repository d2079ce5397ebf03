"""Data sets of reasoning-gym as benchmarks (an extra): generated questions, judged by the data set they come from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from thinkling.errors import InputError
from thinkling.lm.benchmarks.answer_forms import short_answer
from thinkling.lm.benchmarks.generated import GENERATED
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.tasks.checkers import gym_right, require_gym
from thinkling.tasks.gym import gym_entries

GYM = "gym:"
"""What the names of these benchmarks begin with."""


@dataclass(frozen=True, kw_only=True)
class GymProblems:
    """Questions of one data set with its default settings."""

    name: str
    """`gym:` and the data set."""
    votes: bool = True
    """Answers can be compared as text."""
    stop: tuple[str, ...] = ()
    """A model trained on plain text is not asked."""

    @property
    def dataset(self) -> str:
        """What reasoning-gym calls it."""
        return self.name.removeprefix(GYM)

    def check(self) -> None:
        """reasoning-gym must be installed and know the data set."""
        require_gym(self.dataset)

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """n questions (0: 500); question i is drawn from (seed, i) as reasoning-gym does it.

        Raises:
            InputError: a file, because these questions are generated, or the data set cannot make a question.
        """
        if source is not None:
            raise InputError(
                f"--file {source} for {self.name}, whose questions are generated",
                "a benchmark that is read from a file",
                "leave --file out",
            )
        entries = gym_entries(self.dataset, seed=seed, count=n or GENERATED)
        return [
            BenchmarkItem(
                number=number,
                name=f"{self.name} {number}",
                prompt=entry["question"],
                answer=entry["answer"],
                extra={"entry": entry},
            )
            for number, entry in enumerate(entries)
        ]

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """All of the text; what it calls its answer, or else all of it, because a grid has several lines."""
        whole = text.strip() or None
        lines = [line for line in item.answer.splitlines() if line.strip()]
        return Found(strict=whole, flexible=short_answer(text) if len(lines) < 2 else whole)

    def ballot(self, answer: str) -> str:
        """The answer up to case and white space."""
        return " ".join(answer.split()).casefold()

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether the data set gives each answer its full score."""
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:  # each waits for a process
            return list(
                pool.map(
                    lambda answer: gym_right(self.dataset, answer.item.extra["entry"], answer.text), answers
                )
            )
