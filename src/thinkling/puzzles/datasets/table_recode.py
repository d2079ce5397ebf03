"""The examples of one table in the tokens of another: their alphabets and lengths were learned from different rows.

Shapes: N examples, L positions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thinkling.data.array_store import read_dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.puzzles.datasets.check import task_of
from thinkling.tasks.table import Table

_TOGETHER = 8192


def read_table_split(directory: Path, split: str, task: Table) -> PuzzleSet:
    """One split of a table's data set folder, in the tokens of `task`.

    Raises:
        InputError: no data set of a table, or a row that `task` has no tokens for; names the row.
    """
    data = read_dataset(directory)
    theirs = task_of(data, directory)
    if not isinstance(theirs, Table):
        raise InputError(
            f"{directory}: a data set of task {theirs.name}",
            "one of a table",
            "use data of the model's own kind",
        )
    examples = data.train if split == "train" else data.test
    if theirs.symbols == task.symbols and (theirs.length, theirs.align) == (task.length, task.align):
        return examples
    parts = []
    for low in range(0, len(examples), _TOGETHER):
        part = slice(low, low + _TOGETHER)
        questions, answers = (
            theirs.format_rows(examples.inputs[part]),
            theirs.format_rows(examples.labels[part]),
        )
        try:
            parts.append(task.encode_rows(questions, answers))
        except InputError as error:
            raise error.at(f"{directory}/{split}: a row from {low} on") from None
    empty = np.empty((0, task.length), dtype=task.symbols.dtype)
    return PuzzleSet.of_puzzles(
        np.concatenate([empty, *(inputs for inputs, _ in parts)]),
        np.concatenate([empty, *(labels for _, labels in parts)]),
        vocab_size=task.vocab_size,
    )
