"""Examples of a data set, ready for the slots: chosen, symmetrically varied, labelled.

Shapes: K items, N examples, L positions, G groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.data.sampling import example_of_item, uniforms
from thinkling.errors import InputError
from thinkling.puzzles.calibration import mean_ranks
from thinkling.tasks.task import Task

_CHOICE_STREAM = 0xC401CE
_SYMMETRY_STREAM = 0x5377
_CURRICULUM_STREAM = 0xEA51
_SELECTION_STREAM = 0x5E1EC7
"""Keep the draws of choice, symmetry, curriculum and selection apart from each other and from the groups' order."""

_FIRST_SHARE = 0.2
"""Share of the puzzles, the easiest, that a curriculum begins with."""


class Examples:
    """One split of a data set with its task.

    Args:
        puzzles: the split.
        task: whose symmetries vary the training items.
        augment: whether `items` applies a random symmetry to each.
        curriculum: number of items over which the harder groups join in; 0 shows all from the start.
    """

    def __init__(self, puzzles: PuzzleSet, task: Task, *, augment: bool, curriculum: int = 0) -> None:
        self.puzzles = puzzles
        self.task = task
        self.augment = augment
        firsts = puzzles.group_indices[:-1].astype(np.int64)
        self._shown_of_group = (puzzles.puzzle_indices[firsts + 1] - puzzles.puzzle_indices[firsts]).astype(
            np.int64
        )
        self._shown_up_to = np.cumsum(self._shown_of_group)
        self._curriculum = curriculum
        self._by_difficulty = _by_difficulty(puzzles) if curriculum else None

    def __len__(self) -> int:
        return len(self.puzzles.inputs)

    def items(self, items: NDArray[np.int64], seed: int) -> PuzzleBatch:
        """Training items [K]: an epoch shows each group by as many examples as its first puzzle has.

        Each of them is taken from a random one of the group's puzzles. The official loader shows all the examples of
        one random puzzle of the group.

        An item depends on (seed, item) only.
        """
        inputs, labels, puzzle_ids = self.puzzles.examples(self._rows(items, seed))
        if self.augment and self.task.augment_numbers:
            draws = uniforms(seed ^ _SYMMETRY_STREAM, items, self.task.augment_numbers)
            inputs, labels, puzzle_ids = self.task.augment(inputs, labels, puzzle_ids, draws)
        return PuzzleBatch(
            inputs=torch.from_numpy(inputs.astype(np.int64)),
            labels=torch.from_numpy(labels.astype(np.int64)),
            puzzle_ids=torch.from_numpy(puzzle_ids.astype(np.int64)),
        )

    def first(self, count: int) -> Examples:
        """The first `count` examples."""
        part = dataclasses.replace(
            self.puzzles,
            inputs=self.puzzles.inputs[:count],
            labels=self.puzzles.labels[:count],
            puzzle_ids=self.puzzles.puzzle_ids[:count],
        )
        return Examples(part, self.task, augment=self.augment)

    def questions(self) -> Iterator[Question]:
        """The examples as they are, in order."""
        for row in range(len(self)):
            yield Question(inputs=self.puzzles.inputs[row], puzzle_id=int(self.puzzles.puzzle_ids[row]))

    def _rows(self, items: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        groups, puzzles = self.puzzles.group_indices, self.puzzles.puzzle_indices
        if self._by_difficulty is not None:
            group, place = self._easy_first(self._by_difficulty, items, seed)
        else:
            shown = example_of_item(seed, items, int(self._shown_up_to[-1]))
            group = np.searchsorted(self._shown_up_to, shown, side="right")
            place = shown - (self._shown_up_to[group] - self._shown_of_group[group])
        draws = uniforms(seed ^ _CHOICE_STREAM, items, 1)
        puzzle = _within(groups[group], groups[group + 1], draws[:, 0])
        first, end = puzzles[puzzle].astype(np.int64), puzzles[puzzle + 1].astype(np.int64)
        return np.asarray(first + np.minimum(place, end - first - 1))

    def _easy_first(
        self, order: NDArray[np.int64], items: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Group and place within it of each item [K], drawn from the easiest share, which grows to all."""
        draws = uniforms(seed ^ _CURRICULUM_STREAM, items, 2)
        share = _FIRST_SHARE + (1 - _FIRST_SHARE) * np.minimum(1.0, items / self._curriculum)
        group = order[np.floor(draws[:, 0] * np.ceil(share * len(order))).astype(np.int64)]
        return group, np.floor(draws[:, 1] * self._shown_of_group[group]).astype(np.int64)


def _by_difficulty(puzzles: PuzzleSet) -> NDArray[np.int64]:
    """The groups from easy to hard, [G], by the first example of each.

    Blanks and rating have no common unit, so their ranks are added.
    """
    firsts = puzzles.puzzle_indices[puzzles.group_indices[:-1].astype(np.int64)].astype(np.int64)
    difficulty = mean_ranks((puzzles.inputs[firsts] != puzzles.labels[firsts]).sum(1))
    if puzzles.ratings is not None:
        difficulty = difficulty + mean_ranks(np.asarray(puzzles.ratings)[firsts])
    return np.argsort(difficulty, kind="stable")


def hold_out(puzzles: PuzzleSet, groups: int) -> tuple[PuzzleSet, PuzzleSet]:
    """Split off the last `groups` groups (at most a fifth of all) as validation examples: (rest, held out).

    Of a held-out group only the first puzzle is kept: the others are its symmetric copies.

    Raises:
        InputError: there are fewer than five groups.
    """
    total = len(puzzles.group_indices) - 1
    if total < 5:
        raise InputError(f"a training set of {total} puzzles", "at least 5", "make or import more puzzles")
    cut = total - min(groups, total // 5)
    rest = _of_puzzles(puzzles, range(int(puzzles.group_indices[cut])))
    return rest, _of_puzzles(puzzles, puzzles.group_indices[cut:total].tolist())


def first_of_each(puzzles: PuzzleSet, most: int = 500) -> PuzzleSet:
    """The first puzzle of each of the first `most` groups: to see how well training examples are learned."""
    return _of_puzzles(puzzles, puzzles.group_indices[:-1][:most].tolist())


def hard_enough(puzzles: PuzzleSet, share: float) -> PuzzleSet:
    """Only the puzzles whose first example leaves at least this share of its cells to be filled in.

    Raises:
        InputError: there is none.
    """
    if share <= 0:
        return puzzles
    inputs, labels, _ = puzzles.examples(puzzles.puzzle_indices[:-1])
    chosen = np.flatnonzero((inputs != labels).mean(1) >= share)
    if len(chosen) == 0:
        raise InputError(
            f"min_unknown {share} where no puzzle has that many", "a smaller share", "lower min_unknown"
        )
    return _of_puzzles(puzzles, chosen.tolist())


def some_of(puzzles: PuzzleSet, count: int, seed: int) -> PuzzleSet:
    """So many groups of a set, chosen by a seed, in their old order; all of them for 0 or where there are fewer."""
    total = len(puzzles.group_indices) - 1
    if not 0 < count < total:
        return puzzles
    draws = uniforms(seed ^ _SELECTION_STREAM, np.arange(total, dtype=np.int64), 1)[:, 0]
    chosen = np.sort(np.argsort(draws)[:count])
    starts, ends = puzzles.group_indices[chosen].tolist(), puzzles.group_indices[chosen + 1].tolist()
    return _of_puzzles(
        puzzles, [puzzle for low, high in zip(starts, ends, strict=True) for puzzle in range(low, high)]
    )


def _of_puzzles(puzzles: PuzzleSet, chosen: Sequence[int]) -> PuzzleSet:
    """The set with only the puzzles named, in ascending order."""
    kept = np.asarray(chosen, dtype=np.int64)
    starts, ends = puzzles.puzzle_indices[kept], puzzles.puzzle_indices[kept + 1]
    rows = np.concatenate([np.arange(low, high) for low, high in zip(starts, ends, strict=True)]).astype(
        np.int64
    )
    group_of_puzzle = np.searchsorted(puzzles.group_indices, kept, side="right")
    borders = np.flatnonzero(np.diff(group_of_puzzle)) + 1
    return dataclasses.replace(
        puzzles,
        inputs=puzzles.inputs[rows],
        labels=puzzles.labels[rows],
        puzzle_ids=puzzles.puzzle_ids[rows],
        puzzle_identifiers=puzzles.puzzle_identifiers[kept],
        puzzle_indices=np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int32),
        group_indices=np.concatenate([[0], borders, [len(kept)]]).astype(np.int32),
        ratings=None if puzzles.ratings is None else puzzles.ratings[rows],
    )


def _within(
    low: NDArray[np.integer], high: NDArray[np.integer], draw: NDArray[np.float64]
) -> NDArray[np.int64]:
    return low.astype(np.int64) + np.floor(draw * (high - low)).astype(np.int64)
