"""ARC: coloured grids, a few example pairs a task, one puzzle id for each task and each augmentation of it.

A question is an input grid together with the puzzle id of its task: a model learns the rule of a task under its id.
Data sets come in two kinds. The official ones hold every augmentation of every task. Ours hold each pair once, at the
top left of the canvas, and `augment` draws augmentation, puzzle id and translation when an example is shown: the
same distribution, and nothing to build.

Shapes: N examples, S canvas, L = S * S cells in row-major order, K uniform numbers, T tasks.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError, nearest
from thinkling.tasks.arc_augmentation import (
    BLANK,
    IDENTITY,
    NamedAugmentations,
    drawn_augmentation,
    read_name,
)
from thinkling.tasks.arc_ballot import ArcBallot
from thinkling.tasks.arc_grid import (
    COLOURS,
    FIRST_COLOUR,
    PUBLISHED_CANVAS,
    SWAPS_SIDES,
    VOCABULARY,
    Placement,
    crop,
    encode,
    place,
    read_grid,
)
from thinkling.tasks.arc_views import canvas_views
from thinkling.tasks.views import Views

__all__ = ["ON_THE_FLY", "STORED", "Arc", "ArcBallot"]

ON_THE_FLY = "on_the_fly"
"""The data set holds each pair once; `augment` varies it."""
STORED = "stored"
"""The data set holds the augmentations; `augment` changes nothing."""

_NUMBERS = 4
"""K: augmentation, whether to move, rows down, columns right."""


@dataclass(frozen=True)
class Arc:
    """The ARC task on one canvas, with the names of the puzzle ids."""

    canvas: int = PUBLISHED_CANVAS
    """S: rows and columns of the canvas."""
    augmentations: str = STORED
    """"on_the_fly" or "stored": where the augmentations come from."""
    pair_counts: str = ""
    """For "on_the_fly": how many training pairs each task has, in the order of the identifiers, with commas
    between. The official builder leaves one random pair of each augmented task where it is and moves the others."""
    identifiers: Sequence[str] = field(default=(), repr=False, compare=False)
    """The name of each puzzle id; entry 0 is the blank one."""

    def __post_init__(self) -> None:
        """InputError for settings that no ARC task has."""
        canvas: object = self.canvas  # settings come from files
        if type(canvas) is not int or not 1 <= canvas <= PUBLISHED_CANVAS:
            raise InputError(f"ARC canvas {canvas!r}", f"1 to {PUBLISHED_CANVAS}", "choose such a canvas")
        if self.augmentations not in (ON_THE_FLY, STORED):
            raise InputError(
                f"ARC augmentations {self.augmentations!r}",
                f"{ON_THE_FLY}, {STORED}",
                nearest(str(self.augmentations), (ON_THE_FLY, STORED)),
            )
        try:
            counts = [int(count) for count in self.pair_counts.split(",") if self.pair_counts]
        except (ValueError, AttributeError):
            counts = [0]
        if any(count < 1 for count in counts):
            raise InputError(
                f"ARC pair_counts {self.pair_counts!r:.40}",
                "whole numbers with commas between",
                "import the data set again",
            )

    @property
    def name(self) -> str:
        """The task's name in the registry."""
        return "arc"

    @property
    def vocab_size(self) -> int:
        """Padding, end mark and ten colours."""
        return VOCABULARY

    @property
    def seq_len(self) -> int:
        """L."""
        return self.canvas * self.canvas

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the canvas."""
        return (self.canvas, self.canvas)

    @property
    def block(self) -> tuple[int, int]:
        """The whole canvas: ARC has no blocks."""
        return self.shape

    @property
    def augment_numbers(self) -> int:
        """K: how many uniform numbers choose augmentation and translation; 0 where they are stored."""
        return _NUMBERS if self.augmentations == ON_THE_FLY else 0

    @property
    def view_numbers(self) -> int:
        """One number says with which of a task's augmentations the views begin, or draws transform and colours."""
        return COLOURS

    @property
    def has_checker(self) -> bool:
        """False: only the label tells a right grid."""
        return False

    def settings(self) -> dict[str, Any]:
        """What builds this task again, the identifiers aside."""
        settings = {"name": self.name, "canvas": self.canvas, "augmentations": self.augmentations}
        return settings | ({"pair_counts": self.pair_counts} if self.pair_counts else {})

    def parse(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a grid written as JSON: `[[0,1],[2,3]]`.

        Raises:
            InputError: no JSON, ragged, a colour over 9, or larger than the canvas; names the row.
        """
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(
                f"{text!r:.60}", "a grid in JSON, a list of rows: '[[0,1],[2,3]]'", "write the grid like this"
            ) from None
        return encode(read_grid(rows, self.canvas), self.canvas)

    def encode_answer(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of an answer grid; InputError as for `parse`."""
        return self.parse(text)

    def format(self, tokens: NDArray[Any]) -> str:
        """The grid at the top left corner of tokens [L], as JSON; `[]` where there is none."""
        return json.dumps(crop(np.asarray(tokens)).tolist(), separators=(",", ":"))

    def validate(self, tokens: NDArray[Any]) -> None:
        """Every grid is a question."""

    @functools.cached_property
    def names(self) -> NamedAugmentations:
        """What the puzzle ids stand for."""
        return NamedAugmentations(self.identifiers or (BLANK,))

    @functools.cached_property
    def _untranslated(self) -> NDArray[np.float64]:
        """[T] the share of a task's examples that stay at the top left corner besides those that land there."""
        tasks = len(self.names.tasks)
        if not self.pair_counts:
            return np.zeros(tasks)
        counts = [int(count) for count in self.pair_counts.split(",")]
        if len(counts) != tasks:
            raise InputError(
                f"ARC pair_counts of {len(counts)} tasks",
                f"{tasks}, as there are in identifiers.json",
                "import the data set again",
            )
        return 1 / np.array(counts)

    @functools.cached_property
    def _ids_by_name(self) -> dict[tuple[str, int, str], int]:
        known = {}
        for number in range(len(self.identifiers) - 1, 0, -1):
            task, augmentation = read_name(self.identifiers[number])
            known[task, augmentation.transform, augmentation.colours] = number
        return known

    def puzzle_id(self, name: str) -> int:
        """The id of a task (`007bbfb7`) or of one of its augmentations, in TRM's or HRM's form; "" is the blank id.

        Raises:
            InputError: unknown, with the nearest task.
        """
        if name in ("", BLANK):
            return 0
        task, augmentation = read_name(name)
        found = self._ids_by_name.get((task, augmentation.transform, augmentation.colours))
        if found is None:
            tasks = self.names.tasks
            if not tasks:
                allowed, hint = "no name: this model has no named puzzles", "leave the name out"
            elif task in tasks:
                allowed, hint = (
                    f"one of the augmentations of {task} in identifiers.json",
                    f"use {task!r} itself",
                )
            else:
                allowed = f"one of the {len(tasks)} tasks in identifiers.json"
                hint = nearest(task, tasks) if len(tasks) <= 20 else _near(task, tasks)
            raise InputError(f"puzzle {name!r}", allowed, hint)
        return found

    def augment(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        puzzle_ids: NDArray[Any],
        uniforms: NDArray[np.float64],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A random augmentation of each example's task, with its puzzle id, at a random place of the canvas.

        The augmentation is uniform over the identifiers of the task. As in the official data sets, one pair of each
        augmented task stays at the top left corner, so an example does so with probability 1 / pairs; the others
        go to a place that is uniform over those where both grids fit on the canvas.

        Args:
            inputs: [N, L] question tokens, the grid at the top left corner.
            labels: [N, L] answer tokens; below 0 where they are not scored.
            puzzle_ids: [N] any id of each example's task.
            uniforms: [N, K] numbers in [0, 1) that choose.
        """
        if self.augmentations == STORED:
            return inputs, labels, puzzle_ids
        names = self.names
        tasks = names.task_of[puzzle_ids]
        if (tasks < 0).any():
            raise InputError(
                "an ARC example with the blank puzzle id", "an id of a task", "import the data again"
            )
        places = np.floor(uniforms[:, 0] * names.counts[tasks]).astype(np.intp)
        chosen = names.ids(tasks, places)
        transforms = names.transforms[chosen]

        sizes = [self._top_left_sizes(tokens) for tokens in (inputs, labels)]
        height = np.maximum(sizes[0][0], sizes[1][0])
        width = np.maximum(sizes[0][1], sizes[1][1])
        swapped = SWAPS_SIDES[transforms]
        free_rows = self.canvas + 1 - np.where(swapped, width, height)
        free_columns = self.canvas + 1 - np.where(swapped, height, width)
        moved = uniforms[:, 1] >= self._untranslated[tasks]
        placement = Placement(
            transforms=transforms,
            row_offsets=np.where(moved, np.floor(uniforms[:, 2] * free_rows), 0).astype(np.intp),
            column_offsets=np.where(moved, np.floor(uniforms[:, 3] * free_columns), 0).astype(np.intp),
        )
        table = self.recolouring(names.colour_maps[chosen])
        pad = int(labels.min(initial=0))
        return (
            place(inputs, sizes[0], placement, table),
            place(labels, sizes[1], placement, table, pad),
            chosen.astype(puzzle_ids.dtype),
        )

    def apply(self, tokens: NDArray[Any], puzzle_ids: NDArray[Any], pad: int = 0) -> NDArray[Any]:
        """Grids at the top left corner [N, L], augmented as the ids [N] say, again at the top left corner."""
        names = self.names
        still = np.zeros(len(tokens), dtype=np.intp)
        placement = Placement(
            transforms=names.transforms[puzzle_ids], row_offsets=still, column_offsets=still
        )
        table = self.recolouring(names.colour_maps[puzzle_ids])
        return place(tokens, self._top_left_sizes(tokens), placement, table, pad)

    def views(self, inputs: NDArray[Any], puzzle_ids: NDArray[Any], uniforms: NDArray[np.float64]) -> Views:
        """The question in other augmentations of its task, each under its own puzzle id; number 0 is the question.

        The model knows a task by its ids, so the views are those that have one: all others once before one comes
        again. Under the blank id any transform and any colours will do.

        Args:
            inputs: [N, L] the question, N times, at the top left corner.
            puzzle_ids: [N] its puzzle id.
            uniforms: [N, 10] numbers in [0, 1) that choose.
        """
        names, own = self.names, int(puzzle_ids[0])
        here, ids = IDENTITY, np.zeros(len(inputs), dtype=np.intp)
        if task := int(names.task_of[own]) + 1:
            ids = names.others(task - 1, own, float(uniforms[0, 0]), len(inputs))
            here, there = names.augmentation(own), [names.augmentation(int(number)) for number in ids]
        else:
            there = [drawn_augmentation(row) for row in uniforms]
        ids[0], there[0] = own, here
        return canvas_views(inputs, ids.astype(puzzle_ids.dtype), here, there)

    @staticmethod
    def recolouring(colour_maps: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colour maps [N, 10] as maps of tokens [N, 12]."""
        table = np.zeros((len(colour_maps), FIRST_COLOUR + COLOURS), dtype=np.uint8)
        table[:, FIRST_COLOUR:] = colour_maps + FIRST_COLOUR
        return table

    def _top_left_sizes(self, tokens: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        grids = tokens.reshape(-1, self.canvas, self.canvas)
        return (grids[:, :, 0] >= FIRST_COLOUR).sum(1), (grids[:, 0, :] >= FIRST_COLOUR).sum(1)

    def check(self, question: str, answer: str) -> bool:
        """False: only the label tells a right grid."""
        return False

    def check_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.bool_]:
        """All False: only the label tells a right grid. [N]"""
        return np.zeros(len(answers), dtype=np.bool_)

    def why_wrong(self, question: NDArray[Any], answer: NDArray[Any]) -> str:
        """Not to be told without the label."""
        return "ARC has no checker"

    def judge_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """Nothing: there is no checker."""
        return {}

    def rate(self, tokens: NDArray[Any]) -> int:
        """How many cells the question's grid has."""
        return int(crop(np.asarray(tokens)).size)


def _near(task: str, tasks: Sequence[str]) -> str:
    hint = nearest(task, tasks)
    return hint if hint.startswith("did you mean") else "look into identifiers.json for the names"
