"""Checks of an ARC data set: grids, identifiers, and pairs that training and test share.

Shapes: N examples, L cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import Dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.tasks.arc import STORED, Arc
from thinkling.tasks.arc_augmentation import BLANK, IDENTITY, read_name
from thinkling.tasks.arc_grid import END, FIRST_COLOUR, Grid, encode, grid_hash
from thinkling.tasks.dihedral import INVERSE, dihedral


def check_arc(task: Arc, data: Dataset) -> dict[str, Any]:
    """Checks grids, identifiers, duplicates and overlap of training and test; see `check.check_dataset`.

    Only un-augmented puzzles are compared. A test pair overlaps where training has the same pair. Test pairs that
    are equal to one of training's up to the eight symmetries of the square and the colours 1-9 are counted as
    `alike` and are no fault: ARC itself has some, most of them between the demonstrations and the test of one task.
    """
    faults = [
        f"identifiers.json entry {number}: {name!r}, but entry 0 is the blank one and no other"
        for number, name in enumerate(data.identifiers)
        if (name == BLANK) != (number == 0)
    ][:1]
    owners: dict[str, str] = {}
    forms: set[str] = set()
    duplicates = overlap = alike = 0
    plain = np.array([read_name(name)[1] == IDENTITY for name in data.identifiers] or [True])
    for split, examples in (("train", data.train), ("test", data.test)):
        seen: dict[tuple[int, str], int] = {}
        prefix = f"{split}/{examples.metadata.sets[0]}__"
        for row in np.flatnonzero(plain[examples.puzzle_ids]).tolist():
            pair = []
            for kind, tokens in (("inputs", examples.inputs[row]), ("labels", examples.labels[row])):
                grid = _grid(np.asarray(tokens), task.canvas)
                if grid is None:
                    faults.append(f"{prefix}{kind}.npy row {row}: no grid with its end marks")
                else:
                    pair.append(grid)
            if len(pair) < 2:
                continue
            number = int(examples.puzzle_ids[row])
            key, form = grid_hash(pair[0]) + grid_hash(pair[1]), _normal_form(pair[0], pair[1])
            same = seen.setdefault((number, key), row)
            if same != row:
                duplicates += 1
                faults.append(f"{prefix}inputs.npy row {row}: the same pair as row {same} of its task")
            name = data.identifiers[number] if number < len(data.identifiers) else str(number)
            if split == "train":
                owners.setdefault(key, name)
                forms.add(form)
            elif key in owners:
                overlap += 1
                faults.append(
                    f"{prefix}inputs.npy row {row}: a test pair of task {name} that training has in task "
                    f"{owners[key]} ('data import arc --drop-leaks' leaves such tasks out)"
                )
            elif form in forms:
                alike += 1
        if task.augmentations == STORED:
            faults += _damaged_rows(prefix, examples, task.canvas)
    return {
        "train": len(data.train),
        "test": len(data.test),
        "duplicates": duplicates,
        "overlap": overlap,
        "alike": alike,
        "faults": faults,
    }


def _grid(tokens: NDArray[Any], canvas: int) -> Grid | None:
    """The grid of a sequence [L], wherever it stands; None where the sequence is not one grid with its marks."""
    cells = np.argwhere(tokens.reshape(canvas, canvas) >= FIRST_COLOUR)
    if not len(cells):
        return None
    (top, left), (bottom, right) = cells.min(0), cells.max(0) + 1
    colours = tokens.reshape(canvas, canvas)[top:bottom, left:right].astype(np.int64) - FIRST_COLOUR
    if colours.min() < 0:
        return None
    grid = colours.astype(np.uint8)
    return grid if np.array_equal(encode(grid, canvas, int(top), int(left)), tokens) else None


def _damaged_rows(prefix: str, examples: PuzzleSet, canvas: int) -> list[str]:
    """Rows whose colours are no full rectangle, or whose end marks are not as many as it needs."""
    faults = []
    for kind, array in (("inputs", examples.inputs), ("labels", examples.labels)):
        for low in range(0, len(array), 16384):
            tokens: NDArray[Any] = np.asarray(array[low : low + 16384]).reshape(-1, canvas, canvas)
            coloured: NDArray[np.bool_] = np.greater_equal(tokens, FIRST_COLOUR)
            rows, columns = np.any(coloured, axis=2), np.any(coloured, axis=1)
            whole = coloured.sum((1, 2)) == rows.sum(1) * columns.sum(1)
            marks = rows.sum(1) * ~columns[:, -1] + columns.sum(1) * ~rows[:, -1]
            sound = whole & np.any(rows, axis=1) & (marks == np.equal(tokens, END).sum((1, 2)))
            faults += [
                f"{prefix}{kind}.npy row {low + row}: no grid with its end marks"
                for row in np.flatnonzero(~sound).tolist()
            ]
    return faults


def _normal_form(question: Grid, answer: Grid) -> str:
    """The same for pairs that are equal up to the symmetries of the square and the colours 1-9."""
    forms = []
    for t in range(len(INVERSE)):
        turned = [dihedral(grid, t) for grid in (question, answer)]
        cells = np.concatenate([grid.reshape(-1) for grid in turned])
        colours, first = np.unique(cells, return_index=True)
        rename = np.zeros(10, dtype=np.uint8)
        met = colours[np.argsort(first)]
        rename[met[met > 0]] = np.arange(1, (met > 0).sum() + 1)
        forms.append(grid_hash(rename[turned[0]]) + grid_hash(rename[turned[1]]))
    return min(forms)
