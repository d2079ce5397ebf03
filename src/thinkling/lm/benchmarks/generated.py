"""The library's own generated problems as benchmarks: held-out ones, judged by the task they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thinkling.errors import InputError
from thinkling.lm.benchmarks.answer_forms import short_answer
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.tasks.problem import judged, problems

GENERATED = 500
"""Questions where no number is asked for."""


@dataclass(frozen=True, kw_only=True)
class GeneratedProblems:
    """Test problems of one task; no question of them is among those for training, whatever the seeds."""

    name: str
    """The task."""
    votes: bool = True
    """Answers can be compared as text."""
    stop: tuple[str, ...] = ()
    """A model trained on plain text is not asked."""

    def check(self) -> None:
        """Nothing is needed."""

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """n problems (0: 500) for testing, drawn from the seed.

        Raises:
            InputError: an unknown task, or a file: these problems are generated.
        """
        if source is not None:
            raise InputError(
                f"--file {source} for {self.name}, whose questions are generated",
                "a benchmark that is read from a file",
                "leave --file out, or score the file: thinkling eval RUN --data FILE",
            )
        made = problems([self.name], seed, 0, n or GENERATED, "test")
        return [
            BenchmarkItem(number=number, name=f"{self.name} {number}", prompt=each.text, answer=each.answer)
            for number, each in enumerate(made)
        ]

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """All of the text; what it calls its answer, or its last line."""
        return Found(strict=text.strip() or None, flexible=short_answer(text))

    def ballot(self, answer: str) -> str:
        """The answer up to case and white space."""
        return " ".join(answer.split()).casefold()

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """What the task says."""
        return [judged(self.name, answer.item.prompt, answer.item.answer, answer.text) for answer in answers]
