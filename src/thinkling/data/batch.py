"""Batch types: the tensors that travel from data to models.

Shapes: B batch (slots), L positions of the sequence, P places of a row to be predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.data.puzzle_set import IGNORED
from thinkling.data.transfer import sent

IGNORE_LABEL = IGNORED
"""Label of a position that is not scored."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a stream."""

    inputs: NDArray[np.integer]
    """[L] tokens."""
    puzzle_id: int = 0
    """Row of the puzzle embedding."""


@dataclass(frozen=True, kw_only=True)
class PuzzleBatch:
    """Questions as token sequences, with answers where they are known."""

    inputs: Tensor
    """[B, L] integer tokens of the question."""
    puzzle_ids: Tensor
    """[B] integer row of the puzzle embedding (0 where the task has none)."""
    labels: Tensor | None = None
    """[B, L] integer tokens of the answer, IGNORE_LABEL where not scored."""

    @classmethod
    def of(cls, batch: PuzzleBatch | Mapping[str, Tensor] | Any) -> PuzzleBatch:
        """A PuzzleBatch from a mapping or from any object with the same names."""
        if isinstance(batch, PuzzleBatch):
            return batch
        if isinstance(batch, Mapping):
            return cls(inputs=batch["inputs"], puzzle_ids=batch["puzzle_ids"], labels=batch.get("labels"))
        return cls(inputs=batch.inputs, puzzle_ids=batch.puzzle_ids, labels=getattr(batch, "labels", None))

    @classmethod
    def of_questions(cls, questions: Sequence[Question]) -> PuzzleBatch:
        """Questions of one length as a batch."""
        inputs = np.stack([question.inputs for question in questions]).astype(np.int64)
        puzzle_ids = torch.tensor([question.puzzle_id for question in questions])
        return cls(inputs=torch.from_numpy(inputs), puzzle_ids=puzzle_ids)

    def select(self, rows: Tensor) -> PuzzleBatch:
        """The rows named by an index tensor, in its order."""
        labels = None if self.labels is None else self.labels[rows]
        return PuzzleBatch(inputs=self.inputs[rows], puzzle_ids=self.puzzle_ids[rows], labels=labels)

    def put(self, rows: Tensor, other: PuzzleBatch) -> PuzzleBatch:
        """A new batch in which `rows` hold the rows of `other`; this batch is unchanged."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = self.labels.index_copy(0, rows, other.labels.to(self.labels.dtype))
        return PuzzleBatch(
            inputs=self.inputs.index_copy(0, rows, other.inputs.to(self.inputs.dtype)),
            puzzle_ids=self.puzzle_ids.index_copy(0, rows, other.puzzle_ids.to(self.puzzle_ids.dtype)),
            labels=labels,
        )

    def join(self, other: PuzzleBatch) -> PuzzleBatch:
        """These rows and behind them those of `other`; labels only where both have them."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        return PuzzleBatch(
            inputs=torch.cat([self.inputs, other.inputs]),
            puzzle_ids=torch.cat([self.puzzle_ids, other.puzzle_ids]),
            labels=labels,
        )

    def to(self, device: torch.device) -> PuzzleBatch:
        """The same batch on a device; the host does not wait for it."""
        labels = None if self.labels is None else sent(self.labels, device)
        return PuzzleBatch(
            inputs=sent(self.inputs, device), puzzle_ids=sent(self.puzzle_ids, device), labels=labels
        )


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Rows of text with masked places. A row may hold pieces of several documents, which do not see each other."""

    inputs: Tensor
    """[B, L] integer tokens, some of them masked."""
    documents: Tensor
    """[B, L] integer: 0 at padding, else the number (from 1) of the piece that the position belongs to."""
    positions: Tensor
    """[B, P] integer places to be predicted, ascending; -1 behind them where a row has fewer."""
    labels: Tensor
    """[B, P] integer tokens of those places, IGNORE_LABEL where not known or not there."""

    def select(self, rows: Tensor) -> TextBatch:
        """The rows named by an index tensor, in its order."""
        return self._each(lambda tensor: tensor[rows])

    def put(self, rows: Tensor, other: TextBatch) -> TextBatch:
        """A new batch in which `rows` hold the rows of `other`; this batch is unchanged."""
        return TextBatch(
            inputs=self.inputs.index_copy(0, rows, other.inputs),
            documents=self.documents.index_copy(0, rows, other.documents),
            positions=self.positions.index_copy(0, rows, other.positions),
            labels=self.labels.index_copy(0, rows, other.labels),
        )

    def join(self, other: TextBatch) -> TextBatch:
        """These rows and behind them those of `other`."""
        return TextBatch(
            inputs=torch.cat([self.inputs, other.inputs]),
            documents=torch.cat([self.documents, other.documents]),
            positions=torch.cat([self.positions, other.positions]),
            labels=torch.cat([self.labels, other.labels]),
        )

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on a device; the host does not wait for it."""
        return self._each(lambda tensor: sent(tensor, device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> TextBatch:
        return TextBatch(
            inputs=change(self.inputs),
            documents=change(self.documents),
            positions=change(self.positions),
            labels=change(self.labels),
        )
