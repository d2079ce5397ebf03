"""Batch types: the tensors that travel from data to models.

Shapes: B batch (slots), L positions of the sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thinkling.data.puzzle_set import IGNORED

IGNORE_LABEL = IGNORED
"""Label of a position that is not scored."""


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

    def to(self, device: torch.device) -> PuzzleBatch:
        """The same batch on a device."""
        labels = None if self.labels is None else self.labels.to(device)
        return PuzzleBatch(
            inputs=self.inputs.to(device), puzzle_ids=self.puzzle_ids.to(device), labels=labels
        )
