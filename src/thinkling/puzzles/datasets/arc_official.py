"""The official ARC data set, every augmentation written out: equal to TRM's builder byte for byte.

The draws are those of numpy's legacy generator in the order of `build_arc_dataset.py`: for each set a shuffle of its
tasks, for each task its augmentations, and at the end, split by split, the translations.

Shapes: E pairs of a puzzle, N examples, P puzzles, L cells.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import write_dataset
from thinkling.data.puzzle_set import Metadata, PuzzleSet
from thinkling.puzzles.datasets.arc_selection import Selection
from thinkling.tasks.arc import Arc
from thinkling.tasks.arc_augmentation import (
    BLANK,
    IDENTITY,
    TRIALS_PER_AUGMENTATION,
    Augmentation,
    Fingerprints,
)
from thinkling.tasks.arc_grid import COLOURS, SWAPS_SIDES, VOCABULARY, Grid, Placement, encode, place
from thinkling.tasks.dihedral import INVERSE


@dataclass(frozen=True, kw_only=True)
class _Group:
    """A task with its augmentations."""

    name: str
    pairs: dict[str, list[tuple[Grid, Grid]]]
    """The pairs of each split."""
    made: list[Augmentation]
    """The identity first."""


def _draw_augmentations(
    pairs: list[tuple[Grid, Grid]], count: int, generator: np.random.RandomState
) -> list[Augmentation]:
    fingerprints = Fingerprints(pairs)
    made = [IDENTITY]
    seen = {int(fingerprints.of(np.zeros(1, np.intp), np.arange(COLOURS)[None])[0])}
    for _ in range(TRIALS_PER_AUGMENTATION * count):
        transform = int(generator.randint(0, len(INVERSE)))
        colours = np.zeros(COLOURS, dtype=np.uint8)
        colours[1:] = generator.permutation(np.arange(1, COLOURS, dtype=np.uint8))
        key = int(fingerprints.of(np.array([transform]), colours[None])[0])
        if key not in seen:
            seen.add(key)
            made.append(Augmentation(transform, "".join(map(str, colours.tolist()))))
            if len(made) == count + 1:
                break
    return made


def _draw_offsets(
    sizes: NDArray[np.int64], canvas: int, generator: np.random.RandomState, *, moved: bool
) -> NDArray[np.int64]:
    """Rows down and columns right of the pairs [E, 2] of one puzzle, given the room [E, 2] that each needs.

    One pair, drawn at random, stays where it is.
    """
    offsets = np.zeros_like(sizes)
    stays = int(generator.randint(0, len(sizes)))
    for number, (rows, columns) in enumerate(sizes.tolist() if moved else []):
        if number != stays:
            offsets[number] = (
                generator.randint(0, canvas - rows + 1),
                generator.randint(0, canvas - columns + 1),
            )
    return offsets


def _write_group(
    group: _Group,
    split: str,
    arrays: tuple[NDArray[Any], NDArray[Any]],
    first: int,
    task: Arc,
    generator: np.random.RandomState,
) -> int:
    """Writes all puzzles of a group into the arrays from row `first` on; returns the row after them."""
    pairs = group.pairs[split]
    canvas, count = task.canvas, len(pairs)
    corners = [np.array([encode(pair[side], canvas) for pair in pairs]) for side in (0, 1)]
    shapes = [np.array([pair[side].shape for pair in pairs]) for side in (0, 1)]
    room = np.maximum(*shapes)
    offsets = np.concatenate(
        [
            _draw_offsets(
                room[:, ::-1] if SWAPS_SIDES[one.transform] else room,
                canvas,
                generator,
                moved=split == "train",
            )
            for one in group.made
        ]
    )
    puzzles = len(group.made)
    placement = Placement(
        transforms=np.repeat([one.transform for one in group.made], count),
        row_offsets=offsets[:, 0],
        column_offsets=offsets[:, 1],
    )
    table = task.recolouring(np.repeat(np.array([one.colour_map for one in group.made]), count, axis=0))
    last = first + puzzles * count
    for side, array in enumerate(arrays):
        sizes = (np.tile(shapes[side][:, 0], puzzles), np.tile(shapes[side][:, 1], puzzles))
        array[first:last] = place(np.tile(corners[side], (puzzles, 1)), sizes, placement, table)
    return last


def _split(
    groups: list[_Group],
    split: str,
    ids: Mapping[str, int],
    task: Arc,
    generator: np.random.RandomState,
    scratch: Path,
) -> PuzzleSet:
    names = np.array(
        [
            ids[one.name(group.name)] if number else ids[group.name]
            for group in groups
            for number, one in enumerate(group.made)
        ],
        dtype=np.int32,
    )
    sizes = np.array([len(group.pairs[split]) for group in groups for _ in group.made], dtype=np.int32)
    total = int(sizes.sum())
    # Written to disk as they come: all of ARC-AGI-1 with 1,000 augmentations is 8 GB.
    inputs, labels = (
        np.lib.format.open_memmap(
            scratch / f"{split}_{name}.npy", mode="w+", dtype=np.uint8, shape=(total, task.seq_len)
        )
        if total
        else np.zeros((0, task.seq_len), dtype=np.uint8)
        for name in ("inputs", "labels")
    )
    row = 0
    for group in groups:
        row = _write_group(group, split, (inputs, labels), row, task, generator)
    metadata = Metadata(
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        vocab_size=VOCABULARY,
        seq_len=task.seq_len,
        num_puzzle_identifiers=len(ids) + 1,
        total_groups=len(groups),
        mean_puzzle_examples=total / max(len(names), 1),
        total_puzzles=len(names),
    )
    return PuzzleSet(
        inputs=inputs,
        labels=labels,
        puzzle_ids=np.repeat(names, sizes),
        puzzle_identifiers=names,
        puzzle_indices=np.cumsum([0, *sizes]).astype(np.int32),
        group_indices=np.cumsum([0, *(len(group.made) for group in groups)]).astype(np.int32),
        metadata=metadata,
    )


def write_official(
    out: Path,
    chosen: Selection,
    task: Arc,
    augmentations: int,
    seed: int,
    info: Mapping[str, Any],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """Writes the data set of a selection of tasks and returns its sizes and its hash.

    Raises:
        InputError: something else is at `out`.
        ThinklingError: the disk refuses.
    """
    generator = np.random.RandomState(seed)
    groups: list[tuple[_Group, bool]] = []
    for tasks, for_test in chosen.subsets:
        order = np.arange(len(tasks))
        generator.shuffle(order)
        for one in (tasks[number] for number in order):
            made = _draw_augmentations(one.demonstrations + one.answered, augmentations, generator)
            pairs = {"train": one.demonstrations, "test": one.answered}
            if not for_test:
                pairs = {"train": one.pairs, "test": []}
            groups.append((_Group(name=one.name, pairs=pairs, made=made), for_test))
    ids: dict[str, int] = {}
    for group, _ in groups:
        for number, augmentation in enumerate(group.made):
            name = augmentation.name(group.name) if number else group.name
            ids.setdefault(name, len(ids) + 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        train = _split([group for group, _ in groups], "train", ids, task, generator, scratch)
        test = _split([group for group, test in groups if test], "test", ids, task, generator, scratch)
        sha256 = write_dataset(out, train, test, [BLANK, *ids], task.settings(), info, files)
        sizes = {"train": len(train), "test": len(test), "sha256": sha256, "identifiers": len(ids) + 1}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return sizes
