r"""MATH-500: competition mathematics with an answer in LaTeX (Hendrycks et al. 2021, arXiv 2103.03874; the 500
questions of Lightman et al. 2023, arXiv 2305.20050).

The strict rule compares the box, or all of the answer, as normalised text; the flexible one asks math-verify whether
the two mean the same, wherever the text says its answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.lm.benchmarks.answer_forms import boxed, short_answer
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.lm.benchmarks.rows import first_items, text_field
from thinkling.tasks.checkers import require_math_verify
from thinkling.tasks.math_answer import equivalent, normalised, same_text

MATH500_ADDRESS = "hf://datasets/HuggingFaceH4/MATH-500"


@dataclass(frozen=True, kw_only=True)
class Math500:
    """Rows {"problem", "solution", "answer", "subject", "level", "unique_id"}."""

    name: str = field(default="math500", init=False)
    votes: bool = field(default=True, init=False)
    stop: tuple[str, ...] = field(default=(), init=False)

    def check(self) -> None:
        """math-verify must be installed."""
        require_math_verify()

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n problems.

        Raises:
            InputError: no such file, or a row in another layout.
        """
        return first_items(fetched(source or MATH500_ADDRESS), _item, n)

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """The last box or all of the text; where the text says its answer."""
        return Found(strict=boxed(text) or text.strip() or None, flexible=short_answer(text))

    def ballot(self, answer: str) -> str:
        """The normalised text: two ways to write a number that it leaves apart are two votes."""
        return normalised(answer)

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether answers are equal as text, or mean the same, a few at a time."""
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:  # each waits for a process
            return list(pool.map(_right, answers))


def _item(number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem:
    return BenchmarkItem(
        number=number,
        name=text_field(row, "unique_id", place) if "unique_id" in row else place,
        prompt=text_field(row, "problem", place),
        answer=text_field(row, "answer", place),
    )


def _right(answer: Answer) -> bool:
    item = answer.item
    if answer.strict:
        return same_text(item.answer, answer.text)
    return equivalent(item.answer, answer.text, question=item.prompt)
