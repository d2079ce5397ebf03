"""Checks of a Sudoku data set: answers, uniqueness, duplicates, and overlap of training and test.

Shapes: N examples, L cells, G groups (a puzzle with its symmetric copies).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import Dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_solver import count_solutions
from thinkling.tasks.sudoku_symmetry import SymmetryIndex, fingerprints


def _faults_of_rows(task: Sudoku, split: str, examples: PuzzleSet) -> tuple[list[str], NDArray[np.bool_]]:
    """Faults of single rows, and which rows [N] are sound."""
    inputs, labels = np.asarray(examples.inputs), np.asarray(examples.labels)
    prefix = f"{split}/{examples.metadata.sets[0]}__"
    faults = []
    bad_input = (inputs < BLANK_TOKEN).any(1)
    bad_label = (labels <= BLANK_TOKEN).any(1)
    wrong = ~task.check_batch(inputs, labels) & ~bad_input & ~bad_label
    for rows, name, what in (
        (bad_input, "inputs", "a token that is neither a blank nor a digit"),
        (bad_label, "labels", "a token that is no digit"),
        (wrong, "labels", "the answer does not solve the question"),
    ):
        faults += [f"{prefix}{name}.npy row {row}: {what}" for row in np.flatnonzero(rows).tolist()]
    return faults, ~(bad_input | bad_label | wrong)


def check_sudoku(task: Sudoku, data: Dataset, *, processes: int = 1) -> dict[str, Any]:
    """Checks answers, uniqueness, duplicates and overlap of training and test; see `check.check_dataset`.

    Puzzles are equal up to symmetry; for 9x9 a test puzzle also overlaps where its solution grid is equal to one
    of training's.
    """
    faults: list[str] = []
    puzzles = SymmetryIndex(task.size, with_masks=True)
    grids = SymmetryIndex(task.size, with_masks=False)
    duplicates = overlap = train_groups = 0
    train_names: list[int] = []
    for split, examples in (("train", data.train), ("test", data.test)):
        row_faults, sound = _faults_of_rows(task, split, examples)
        faults += row_faults
        file = f"{split}/{examples.metadata.sets[0]}__inputs.npy"
        firsts = examples.group_starts()
        faults += _faults_of_groups(task, file, examples, firsts, sound)
        rows = firsts[sound[firsts]]
        inputs, answers = np.asarray(examples.inputs[rows]), np.asarray(examples.labels[rows]) - BLANK_TOKEN
        counts = count_solutions(task.size, np.asarray(inputs) - BLANK_TOKEN, processes=processes)
        faults += [f"{file} row {row}: several solutions" for row in rows[counts > 1].tolist()]
        equal = puzzles.add(answers, inputs > BLANK_TOKEN).tolist()
        shared = grids.add(answers).tolist() if task.size == 9 else equal
        names = train_names + rows.tolist()
        for number, (row, same, grid) in enumerate(
            zip(rows.tolist(), equal, shared, strict=True), train_groups
        ):
            if split == "test" and min(same, grid) < train_groups:
                overlap += 1
                what = (
                    "equal up to symmetry to"
                    if same < train_groups
                    else "has the solution grid, up to symmetry, of"
                )
                other = same if same < train_groups else grid
                faults.append(f"{file} row {row}: {what} train row {names[other]}")
            elif same < number:
                duplicates += 1
                faults.append(f"{file} row {row}: equal up to symmetry to {split} row {names[same]}")
        if split == "train":
            train_groups, train_names = len(rows), rows.tolist()
    return {
        "train": len(data.train),
        "test": len(data.test),
        "duplicates": duplicates,
        "overlap": overlap,
        "faults": faults,
    }


def _faults_of_groups(
    task: Sudoku, file: str, examples: PuzzleSet, firsts: NDArray[np.int64], sound: NDArray[np.bool_]
) -> list[str]:
    """Sound examples that are no symmetric copy of their group's first one."""
    if len(firsts) == len(examples):
        return []
    owner = firsts[np.searchsorted(firsts, np.arange(len(examples)), side="right") - 1]
    labels = np.where(sound[:, None], np.asarray(examples.labels).astype(np.int64) - BLANK_TOKEN, 1)
    prints = fingerprints(task.size, labels, np.asarray(examples.inputs) > BLANK_TOKEN)
    strangers = (prints != prints[owner]) & sound & sound[owner]
    return [
        f"{file} row {row}: no symmetric copy of row {owner[row]}, the first of its group"
        for row in np.flatnonzero(strangers).tolist()
    ]
