"""Checks of a maze data set: answers, uniqueness, duplicates, and overlap of training and test.

Shapes: N examples, L cells, G groups (a maze with its symmetric copies).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import Dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.puzzles.datasets.maze import MazeIndex
from thinkling.tasks.maze import GOAL, PATH, START, WALL, Maze


def check_maze(task: Maze, data: Dataset) -> dict[str, Any]:
    """Checks answers, duplicates and overlap of training and test; see `check.check_dataset`.

    The result also has `several_shortest_paths`: how many mazes have more than one. That is a fault only in a set of
    our own generator, which promises one; the published sets make no such promise.
    """
    faults: list[str] = []
    index = MazeIndex(task)
    duplicates = overlap = train_groups = several = 0
    names: list[int] = []
    for split, examples in (("train", data.train), ("test", data.test)):
        row_faults, sound = _faults_of_rows(task, split, examples)
        faults += row_faults
        file = f"{split}/{examples.metadata.sets[0]}__inputs.npy"
        firsts = examples.group_starts()
        faults += _faults_of_groups(task, file, examples, firsts, sound)
        rows = firsts[sound[firsts]]
        inputs = np.asarray(examples.inputs[rows])
        ambiguous = rows[~task.has_one_path(inputs)].tolist()
        several += len(ambiguous)
        if data.info.get("generator") == "thinkling data make maze":
            faults += [f"{file} row {row}: several shortest paths" for row in ambiguous]
        names += rows.tolist()
        for number, (row, same) in enumerate(
            zip(rows.tolist(), index.add(inputs).tolist(), strict=True), train_groups
        ):
            if same == number:
                continue
            shared = split == "test" and same < train_groups
            overlap += shared
            duplicates += not shared
            where = "train" if shared else split
            faults.append(f"{file} row {row}: equal up to symmetry to {where} row {names[same]}")
        train_groups = len(rows)
    return {
        "train": len(data.train),
        "test": len(data.test),
        "duplicates": duplicates,
        "overlap": overlap,
        "several_shortest_paths": several,
        "faults": faults,
    }


def _faults_of_rows(task: Maze, split: str, examples: PuzzleSet) -> tuple[list[str], NDArray[np.bool_]]:
    """Faults of single rows, and which rows [N] are sound."""
    inputs, labels = np.asarray(examples.inputs), np.asarray(examples.labels)
    prefix = f"{split}/{examples.metadata.sets[0]}__"
    bad_input = ((inputs < WALL) | (inputs >= PATH)).any(1)
    bad_input |= ((inputs == START).sum(1) != 1) | ((inputs == GOAL).sum(1) != 1)
    wrong = ~task.check_batch(inputs, labels) & ~bad_input
    faults = [
        f"{prefix}inputs.npy row {row}: no maze with one S and one G"
        for row in np.flatnonzero(bad_input).tolist()
    ]
    faults += [
        f"{prefix}labels.npy row {row}: {task.why_wrong(inputs[row], labels[row])}"
        for row in np.flatnonzero(wrong).tolist()
    ]
    return faults, ~(bad_input | wrong)


def _faults_of_groups(
    task: Maze, file: str, examples: PuzzleSet, firsts: NDArray[np.int64], sound: NDArray[np.bool_]
) -> list[str]:
    """Sound examples that are no symmetric copy of their group's first one."""
    if len(firsts) == len(examples):
        return []
    owner = firsts[np.searchsorted(firsts, np.arange(len(examples)), side="right") - 1]
    canonical = task.canonical(np.asarray(examples.inputs))
    strangers = (canonical != canonical[owner]).any(1) & sound & sound[owner]
    return [
        f"{file} row {row}: no symmetric copy of row {owner[row]}, the first of its group"
        for row in np.flatnonzero(strangers).tolist()
    ]
