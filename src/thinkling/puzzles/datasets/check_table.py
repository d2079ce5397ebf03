"""Checks of a table's data set: rows that are none, duplicates, contradictions, and questions in both splits.

Symmetries of a table are known to its plug-in only, which is not run here: equal means equal.

Shapes: N examples, L positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import Dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.tasks.table import Table
from thinkling.tasks.table_alphabet import END_TOKEN, FIRST_SYMBOL

_TOGETHER = 16_384


def check_table(task: Table, data: Dataset) -> dict[str, Any]:
    """What `check_dataset` returns, for a data set of a table.

    `duplicates` counts rows with the question of an earlier row of their split, whatever the answer; `overlap`
    test rows with a question of training.
    """
    faults: list[str] = []
    duplicates = overlap = 0
    known: dict[int, tuple[str, int]] = {}
    splits = {"train": data.train, "test": data.test}
    for split, examples in splits.items():
        prefix = f"{split}/{examples.metadata.sets[0]}__"
        for name, row, what in _bad_rows(task, examples):
            faults.append(f"{prefix}{name}.npy row {row}: {what}")
        for row, question in _questions(examples):
            there, first = known.setdefault(hash(question), (split, row))
            if (there, first) == (split, row) or splits[there].inputs[first].tobytes() != question:
                continue
            shared = there != split
            overlap, duplicates = overlap + shared, duplicates + (not shared)
            same = (splits[there].labels[first] == examples.labels[row]).all()
            what = f"the question of {there} row {first}" + ("" if same else " with another answer")
            faults.append(f"{prefix}inputs.npy row {row}: {what}")
    return {
        "train": len(data.train),
        "test": len(data.test),
        "duplicates": duplicates,
        "overlap": overlap,
        "faults": faults,
    }


def _questions(examples: PuzzleSet) -> Iterator[tuple[int, bytes]]:
    for low in range(0, len(examples), _TOGETHER):
        for row, question in enumerate(np.asarray(examples.inputs[low : low + _TOGETHER]), low):
            yield row, question.tobytes()


def _bad_rows(task: Table, examples: PuzzleSet) -> Iterator[tuple[str, int, str]]:
    """Array, row and fault of each row that is no text of the table."""
    for low in range(0, len(examples), _TOGETHER):
        part = slice(low, low + _TOGETHER)
        for name, array in (("inputs", examples.inputs), ("labels", examples.labels)):
            tokens = np.asarray(array[part])
            ended = _with_ends(task, tokens) if name == "labels" else tokens
            symbols = tokens >= FIRST_SYMBOL
            counts = symbols.sum(1)
            places = np.arange(task.length)
            text = (
                places >= (task.length - counts)[:, None]
                if task.align == "right"
                else places < counts[:, None]
            )
            checks = (
                (counts == 0, "no symbol"),
                ((symbols != text).any(1), "its symbols do not stand together at one end of the row"),
                ((tokens != ended).any(1) & (symbols == text).all(1), "no end token beside the answer"),
                ((tokens == END_TOKEN).any(1) & (name == "inputs"), "an end token in a question"),
            )
            for rows, what in checks:
                for row in np.flatnonzero(rows).tolist():
                    yield name, low + row, what


def _with_ends(task: Table, tokens: NDArray[Any]) -> NDArray[Any]:
    """The rows with the end token where it belongs and nowhere else."""
    return task.with_ends(np.where(tokens >= FIRST_SYMBOL, tokens, 0).astype(tokens.dtype))
