"""AQuA-RAT: algebra with five choices (Ling et al. 2017, arXiv 1705.04146)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.errors import InputError
from thinkling.lm.benchmarks.answer_forms import boxed, last_line, marked, said
from thinkling.lm.benchmarks.item import Answer, BenchmarkItem, Found
from thinkling.lm.benchmarks.rows import first_items, text_field, text_list_field

AQUA_ADDRESS = "hf://datasets/deepmind/aqua_rat/raw"

_LETTERS = "ABCDE"
_ASKED = "Answer with the letter of the right choice."
_ALONE = re.compile(r"\(?([A-E])\)?[.:]?", re.IGNORECASE)
_AT_FIRST = re.compile(r"\(?([A-E])(?:[).:]|\b(?!['’]))", re.IGNORECASE)
_SOMEWHERE = re.compile(r"(?<![\w'’])\(?([A-E])\)?(?![\w'’])")


@dataclass(frozen=True, kw_only=True)
class Aqua:
    """Rows {"question", "options": ["A)5", …], "rationale", "correct": "A"}."""

    name: str = field(default="aqua", init=False)
    votes: bool = field(default=True, init=False)
    stop: tuple[str, ...] = field(default=(), init=False)

    def check(self) -> None:
        """Nothing is needed."""

    def items(self, source: Path | None, *, n: int, seed: int) -> list[BenchmarkItem]:
        """The first n questions, each with its choices and how to answer.

        Raises:
            InputError: no such file, or a row in another layout.
        """
        return first_items(fetched(source or AQUA_ADDRESS), _item, n)

    def found(self, item: BenchmarkItem, text: str) -> Found:
        """The letter alone, or a choice as it was listed; the letter that the text settles on."""
        listed = _listed(item, text)
        alone = _ALONE.fullmatch(text.strip())
        strict = alone[1].upper() if alone else listed
        return Found(strict=strict, flexible=strict or _settled_on(item, text))

    def ballot(self, answer: str) -> str:
        """A letter is one already."""
        return answer

    def judge(self, answers: Sequence[Answer]) -> list[bool]:
        """Whether the letters are equal."""
        return [answer.text == answer.item.answer for answer in answers]


def _item(number: int, place: str, row: Mapping[str, Any]) -> BenchmarkItem:
    options = [option.strip() for option in text_list_field(row, "options", place)]
    letters = [option[:1] for option in options]
    if letters != list(_LETTERS[: len(options)]) or any(option[1:2] != ")" for option in options):
        raise InputError(
            f"{place}: the options {', '.join(options)[:60]}",
            'two to five of them, "A)…", "B)…" and so on',
            "correct this row",
        )
    right = text_field(row, "correct", place)
    if right not in letters:
        raise InputError(f"{place}: correct is {right[:20]!r}", ", ".join(letters), "correct this row")
    question = "\n".join([text_field(row, "question", place), *options, _ASKED])
    return BenchmarkItem(number=number, name=place, prompt=question, answer=right, extra={"options": options})


def _listed(item: BenchmarkItem, text: str) -> str | None:
    """The letter of the choice that a text repeats, with or without its letter; None where several are alike."""
    wanted = _comparable(text)
    found = {
        option[0]
        for option in item.extra["options"]
        if wanted and wanted in (_comparable(option), _comparable(option[2:]))
    }
    return found.pop() if len(found) == 1 else None


def _settled_on(item: BenchmarkItem, text: str) -> str | None:
    for part in (boxed(text), marked(text), said(text), last_line(text)):
        if part is None:
            continue
        if listed := _listed(item, part):
            return listed
        if first := _AT_FIRST.match(part):
            # "A car …" begins with an article, not with a letter that was chosen.
            article = first[1] in "Aa" and first[0] in "Aa" and len(part) > 1
            if not article:
                return first[1].upper()
    letters = _SOMEWHERE.findall(text)
    return letters[-1] if letters else None


def _comparable(text: str) -> str:
    return "".join(text.split()).strip(".").casefold()
