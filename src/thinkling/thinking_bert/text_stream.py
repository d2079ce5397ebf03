"""Texts through a model as a stream: rows of similar length together, answers in the order of the texts.

Memory is bounded: at most `IN_WORK` texts are looked at, and at most `_SLOTS` of them thought about, at a time.

Shapes: B batch (slots), L positions of the row, P places to be predicted, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import IGNORE_LABEL, TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.slots import Answer, SlotMachine

IN_WORK = 512
"""Texts that are sorted by length and answered together."""
LENGTH_STEP = 16
"""Rows are as long as the next multiple of this."""
_SLOTS = 64
_PLACES_AT_ONCE = 256
"""Slots times places: each place has one logit for every token of the vocabulary."""

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """A text as a model sees it."""

    text: str
    """As it was given."""
    tokens: NDArray[np.int64]
    """[n] `<CLS>` text `<SEP>`."""
    places: NDArray[np.int64]
    """[P] places to be predicted, ascending."""


class TextThinker(Protocol):
    """A model that thinks about rows of any length."""

    def fresh_carry(self, batch_size: int, length: int) -> Carry:
        """A carry whose slots are all halted."""

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round."""


def framed(tokenizer: TextTokenizer, tokens: Sequence[int]) -> NDArray[np.int64]:
    """`<CLS>` tokens `<SEP>`."""
    return np.array([tokenizer.cls_id, *tokens, tokenizer.sep_id], dtype=np.int64)


def rounded_length(tokens: int, most: int) -> int:
    """The row's length for so many tokens: few different ones, so that rows can share a batch."""
    return min(most, -(-tokens // LENGTH_STEP) * LENGTH_STEP)


def batch_of(rows: Sequence[TextRow], length: int, places: int) -> TextBatch:
    """Rows of one piece each, padded to `length` tokens and `places` places."""
    inputs = np.zeros((len(rows), length), dtype=np.int64)
    documents = np.zeros((len(rows), length), dtype=np.int64)
    positions = np.full((len(rows), places), -1, dtype=np.int64)
    for number, row in enumerate(rows):
        inputs[number, : len(row.tokens)] = row.tokens
        documents[number, : len(row.tokens)] = 1
        positions[number, : len(row.places)] = row.places
    return TextBatch(
        inputs=torch.from_numpy(inputs),
        documents=torch.from_numpy(documents),
        positions=torch.from_numpy(positions),
        labels=torch.full((len(rows), places), IGNORE_LABEL),
    )


def answered(
    rows: Iterable[TextRow],
    thinker: TextThinker,
    finish: Callable[[TextRow, Answer], R],
    *,
    rule: HaltRule,
    max_steps: int,
    most_tokens: int,
    trace: bool = False,
) -> Iterator[R]:
    """What `finish` makes of each row and its answer (with logits), in the order of the rows.

    Where the rows end in an InputError, those before it are answered first.

    Args:
        rows: the texts.
        thinker: the model; its compute dtype's casts are the caller's business.
        finish: called as soon as a row has halted; what it returns should not keep the answer's logits.
        rule: what stops a slot.
        max_steps: rounds after which a slot stops in any case.
        most_tokens: the longest row of the model.
        trace: keep what every round said.
    """
    waiting, fault = iter(rows), None
    while fault is None:
        taken: list[TextRow] = []
        try:
            while len(taken) < IN_WORK and (row := next(waiting, None)) is not None:
                taken.append(row)
        except InputError as error:
            fault = error
        if not taken and fault is None:
            return
        results: list[R | None] = [None] * len(taken)
        for (length, places), numbers in _alike(taken, most_tokens).items():
            machine = SlotMachine(
                OfLength(thinker, length),
                functools.partial(batch_of, length=length, places=places),
                rule,
                max_steps=max_steps,
                slots=max(1, min(_SLOTS, _PLACES_AT_ONCE // max(places, 1))),
                trace=trace,
                keep_logits=True,
            )
            for answer in machine.answers((taken[number] for number in numbers), ordered=False):
                number = numbers[answer.index]
                results[number] = finish(taken[number], answer)
        yield from results  # type: ignore[misc]  # every row has been answered by now
    raise fault


class OfLength:
    """A thinker as the slot machine sees it: its rows all have one length."""

    def __init__(self, thinker: TextThinker, length: int) -> None:
        self._thinker = thinker
        self._length = length

    def fresh_carry(self, batch_size: int) -> Carry:
        """A carry whose slots are all halted."""
        return self._thinker.fresh_carry(batch_size, self._length)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round."""
        return self._thinker.segment(carry, batch)


def _alike(rows: Sequence[TextRow], most_tokens: int) -> dict[tuple[int, int], list[int]]:
    """Which rows can share a batch: those of one rounded length and of one rounded number of places."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, row in enumerate(rows):
        places = 1 << (len(row.places) - 1).bit_length() if len(row.places) else 0
        groups.setdefault((rounded_length(len(row.tokens), most_tokens), places), []).append(number)
    return groups
