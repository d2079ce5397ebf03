"""The examples of one split, and what the official loader says about them.

Shapes: N examples, L positions, P puzzles (puzzle p has examples [indices[p], indices[p + 1]) ), G groups (a
    group is
a puzzle with its symmetric copies), B batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""Label of a position that is not scored (the value PyTorch's and HRM's losses use)."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The official fields of `dataset.json`."""

    pad_id: int
    """Token that fills up positions and rows."""
    ignore_label_id: int | None
    """Label on disk of a position that is not scored."""
    blank_identifier_id: int
    """Puzzle id of rows that fill up a batch."""
    vocab_size: int
    """Number of tokens."""
    seq_len: int
    """L."""
    num_puzzle_identifiers: int
    """Number of puzzle ids, the blank one included."""
    total_groups: int
    """G."""
    mean_puzzle_examples: float
    """N / P for most builders."""
    total_puzzles: int | None = None
    """G for Sudoku, P for ARC; HRM's builders do not write it."""
    sets: Sequence[str] = ("all",)
    """Prefixes of the array files."""

    def to_json(self) -> dict[str, Any]:
        """The fields in the official order, without `total_puzzles` where it is unknown."""
        fields = dataclasses.asdict(self)
        fields["sets"] = list(self.sets)
        return {key: value for key, value in fields.items() if key != "total_puzzles" or value is not None}


@dataclass(frozen=True, kw_only=True)
class PuzzleSet:
    """The examples of one split."""

    inputs: NDArray[Any]
    """[N, L] question tokens, any integer type; memory-mapped when read from disk."""
    labels: NDArray[Any]
    """[N, L] answer tokens as on disk: `metadata.ignore_label_id` marks positions that are not scored."""
    puzzle_ids: NDArray[np.int32]
    """[N] puzzle id of each example."""
    puzzle_identifiers: NDArray[np.int32]
    """[P] puzzle id of each puzzle."""
    puzzle_indices: NDArray[np.int32]
    """[P + 1] first example of each puzzle, and N."""
    group_indices: NDArray[np.int32]
    """[G + 1] first puzzle of each group, and P."""
    metadata: Metadata
    """Sizes and special ids."""
    ratings: NDArray[Any] | None = None
    """[N] how hard each example is, where known."""

    def __len__(self) -> int:
        """N."""
        return len(self.inputs)

    @classmethod
    def of_puzzles(
        cls,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        *,
        vocab_size: int,
        ratings: NDArray[Any] | None = None,
        ignore_label_id: int | None = 0,
    ) -> PuzzleSet:
        """A set in which every example [N, L] is a puzzle and a group of its own, all with the blank id."""
        count, length = inputs.shape
        order = np.arange(count + 1, dtype=np.int32)
        zeros = np.zeros(count, dtype=np.int32)
        metadata = Metadata(
            pad_id=0,
            ignore_label_id=ignore_label_id,
            blank_identifier_id=0,
            vocab_size=vocab_size,
            seq_len=length,
            num_puzzle_identifiers=1,
            total_groups=count,
            mean_puzzle_examples=1.0,
            total_puzzles=count,
        )
        return cls(
            inputs=inputs,
            labels=labels,
            puzzle_ids=zeros,
            puzzle_identifiers=zeros,
            puzzle_indices=order,
            group_indices=order,
            metadata=metadata,
            ratings=ratings,
        )

    def group_starts(self) -> NDArray[np.int64]:
        """The first example of each group that has any. [G]"""
        starts = np.asarray(self.puzzle_indices)[np.asarray(self.group_indices)].astype(np.int64)
        return starts[:-1][np.diff(starts) > 0]

    def examples(self, rows: Any) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Inputs [B, L], labels [B, L] and puzzle ids [B] of the rows named.

        All are int32; labels are IGNORED where they are not scored.
        """
        labels = np.asarray(self.labels[rows]).astype(np.int32)
        if self.metadata.ignore_label_id is not None:
            labels[labels == self.metadata.ignore_label_id] = IGNORED
        return np.asarray(self.inputs[rows]).astype(np.int32), labels, np.asarray(self.puzzle_ids[rows])

    def padded_batches(self, batch_size: int) -> Iterator[tuple[dict[str, NDArray[np.int32]], int]]:
        """All examples in order, as the official loader yields its test batches: (batch, rows that are real).

        The last batch is filled up with pad tokens, IGNORED labels and the blank puzzle id.
        """
        for low in range(0, len(self), batch_size):
            inputs, labels, ids = self.examples(slice(low, low + batch_size))
            real = len(inputs)
            rows = ((0, batch_size - real), (0, 0))
            yield (
                {
                    "inputs": np.pad(inputs, rows, constant_values=self.metadata.pad_id),
                    "labels": np.pad(labels, rows, constant_values=IGNORED),
                    "puzzle_identifiers": np.pad(
                        ids, rows[0], constant_values=self.metadata.blank_identifier_id
                    ),
                },
                real,
            )


def official_task(vocab_size: int, seq_len: int) -> dict[str, Any] | None:
    """What an official folder is about, as `tasks.registry.get_task` takes it: it does not say, but its sizes do.

    Sudoku has as many tokens as digits and two more, a square maze 6, an ARC canvas 12. None for other sizes.
    """
    side = math.isqrt(seq_len)
    if side * side != seq_len or side < 2:
        return None
    if (vocab_size, side) in ((6, 4), (8, 6), (11, 9)):
        return {"name": "sudoku", "size": side}
    if vocab_size == 6:
        return {"name": "maze", "rows": side, "columns": side}
    return {"name": "arc", "canvas": side} if vocab_size == 12 and side <= 30 else None
