"""Word problems whose answer is a number: GSM8K (Cobbe et al. 2021, arXiv 2110.14168) and SVAMP (Patel et al. 2021,
arXiv 2103.07191).

The flexible rule takes the last number of the answer, as lm-eval's filter "flexible-extract" does for GSM8K; the strict
one wants the number alone or behind "####".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.errors import InputError
from thinkling.lm.benchmarks.answer_forms import last_number, marked, plain_number
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.lm.benchmarks.rows import first_items, text_field

GSM8K_ADDRESS = "hf://datasets/openai/gsm8k/main"
SVAMP_ADDRESS = "hf://datasets/ChilleD/SVAMP/data"


@dataclass(frozen=True, kw_only=True)
class WordProblems:
    """Questions in words, and numbers as answers."""

    name: str
    """gsm8k or svamp."""
    address: str
    """Where the test questions are published."""
    question: Callable[[Mapping[str, Any], str], tuple[str, str]]
    """The question of a row, and its answer as text."""
    votes: bool = True
    """Numbers can be compared."""
    stop: tuple[str, ...] = ()
    """A model trained on plain text is not asked."""

    def check(self) -> None:
        """Nothing is needed."""

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n questions of the published layout.

        Raises:
            InputError: no such file, a row in another layout or without a number as its answer.
        """
        return first_items(fetched(source or self.address), self._item, n)

    def _item(self, number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem:
        question, answer = self.question(row, place)
        right = plain_number(answer)
        if right is None:
            raise InputError(
                f"{place}: the answer {answer[:40]!r}", "a number in figures", "correct or remove this row"
            )
        return BenchmarkItem(number=number, name=place, prompt=question, answer=right)

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """The number alone or behind "####"; the last number."""
        return Found(strict=plain_number(marked(text) or text), flexible=last_number(text))

    def ballot(self, answer: str) -> str:
        """Equal numbers are written alike already."""
        return answer

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether the numbers are equal."""
        return [answer.text == answer.item.answer for answer in answers]


def gsm8k() -> WordProblems:
    """1,319 problems of grade-school mathematics; rows {"question", "answer": "… #### 12"}."""
    return WordProblems(name="gsm8k", address=GSM8K_ADDRESS, question=_gsm8k_row)


def svamp() -> WordProblems:
    """Variations of simple problems; rows {"Body", "Question", "Answer", …}."""
    return WordProblems(name="svamp", address=SVAMP_ADDRESS, question=_svamp_row)


def _gsm8k_row(row: Mapping[str, Any], place: str) -> tuple[str, str]:
    answer = text_field(row, "answer", place)
    return text_field(row, "question", place), marked(answer) or answer


def _svamp_row(row: Mapping[str, Any], place: str) -> tuple[str, str]:
    body = text_field(row, "Body", place)
    return f"{body} {text_field(row, 'Question', place)}", text_field(row, "Answer", place)
