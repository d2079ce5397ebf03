"""Checks of a data set: files, answers, uniqueness, duplicates, and overlap of training and test.

Shapes: N examples, L cells, G groups (a puzzle with its symmetric copies).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import Dataset, read_dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.tasks.registry import get_task
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_solver import count_solutions
from thinkling.tasks.sudoku_symmetry import SymmetryIndex, fingerprints
from thinkling.tasks.task import Task


def task_of(data: Dataset, directory: Path) -> Task:
    """The task of a data set.

    Raises:
        InputError: the folder does not say, or its arrays do not fit the task.
    """
    if data.task_settings is None:
        raise InputError(
            f"{directory}: a data set of an unknown task", "a Sudoku data set", "check another folder"
        )
    task = get_task(data.task_settings)
    for split, examples in (("train", data.train), ("test", data.test)):
        sizes = (examples.metadata.vocab_size, examples.metadata.seq_len)
        if sizes != (task.vocab_size, task.seq_len):
            raise InputError(
                f"{directory}/{split}/dataset.json: {sizes[0]} tokens and length {sizes[1]}",
                f"{task.vocab_size} and {task.seq_len}, as task {data.task_settings} has",
                "make or import the data set again",
            )
    return task


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


def check_dataset(directory: Path, *, processes: int = 1) -> dict[str, Any]:
    """Checks a Sudoku data set: files, answers, uniqueness, duplicates and overlap of training and test.

    A group of symmetric copies (the official builders write such) counts as one puzzle.

    Args:
        directory: the folder.
        processes: how many processes prove uniqueness.

    Returns:
        `train` and `test` (examples), `duplicates` (puzzles equal up to symmetry to an earlier one of the
        same split), `overlap` (test puzzles equal up to symmetry to a training puzzle or, for 9x9, with a
        solution grid equal to one of training's), `faults` (all of these and every other fault, each naming
        file and row). The data set is sound where `faults` is empty.

    Raises:
        InputError: no data set, a damaged file, or a task without this check.
    """
    data = read_dataset(directory, verify=True)
    task = task_of(data, directory)
    if not isinstance(task, Sudoku):
        raise InputError(
            f"{directory}: a data set of task {task.name}", "a Sudoku data set", "check another folder"
        )
    faults: list[str] = []
    puzzles = SymmetryIndex(task.size, with_masks=True)
    grids = SymmetryIndex(task.size, with_masks=False)
    duplicates = overlap = train_groups = 0
    train_names: list[int] = []
    for split, examples in (("train", data.train), ("test", data.test)):
        row_faults, sound = _faults_of_rows(task, split, examples)
        faults += row_faults
        file = f"{split}/{examples.metadata.sets[0]}__inputs.npy"
        firsts = _group_starts(examples)
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


def _group_starts(examples: PuzzleSet) -> NDArray[np.int64]:
    """The first example of each group that has any. [G]"""
    starts = np.asarray(examples.puzzle_indices)[np.asarray(examples.group_indices)].astype(np.int64)
    return starts[:-1][np.diff(starts) > 0]


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
