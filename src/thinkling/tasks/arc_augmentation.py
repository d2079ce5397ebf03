"""ARC's augmentations: their names, their inverses, and a set of distinct ones for a task.

An augmentation is a permutation of the colours 1-9 (0, the background, stays) and then one of the eight symmetries of
the square. Its name is TRM's `task|||tN|||colours` or HRM's `task_tN_colours`, where digit c of `colours` replaces
colour c. Source: HRM's and TRM's `build_arc_dataset.py`, TRM's `evaluators/arc.py` (`inverse_aug`).

Shapes: I identifiers, T tasks, K trials.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinkling.data.sampling import uniforms
from thinkling.tasks.arc_grid import COLOURS, Grid
from thinkling.tasks.dihedral import INVERSE, dihedral

SEPARATOR = "|||"
BLANK = "<blank>"
"""The name of puzzle id 0, which stands for no puzzle."""

TRIALS_PER_AUGMENTATION = 5
"""How often the official builders try, for each augmentation asked, to find one that makes a new puzzle."""

_HRM_NAME = re.compile(r"(.+)_t([0-7])_([0-9]{10})", re.DOTALL)
_MIDDLES = {f"{SEPARATOR}t{t}{SEPARATOR}": t for t in range(len(INVERSE))}
_ALL_COLOURS = "0123456789"


@dataclass(frozen=True)
class Augmentation:
    """One augmentation: colours first, then the transform."""

    transform: int = 0
    """0-7, see `dihedral`."""
    colours: str = _ALL_COLOURS
    """Digit c replaces colour c."""

    def apply(self, grid: Grid) -> Grid:
        """The augmented grid."""
        return np.ascontiguousarray(dihedral(self.colour_map[grid], self.transform))

    def undo(self, grid: Grid) -> Grid:
        """The grid of which `apply` made this one."""
        return np.ascontiguousarray(
            self.colour_map.argsort()[dihedral(grid, INVERSE[self.transform])]
        ).astype(np.uint8)

    @property
    def colour_map(self) -> NDArray[np.uint8]:
        """[10] what each colour becomes."""
        return np.frombuffer(self.colours.encode(), dtype=np.uint8) - np.uint8(ord("0"))

    def name(self, task: str) -> str:
        """The augmented task's name, TRM's form."""
        return f"{task}{SEPARATOR}t{self.transform}{SEPARATOR}{self.colours}"


IDENTITY = Augmentation()


def _parts(name: str) -> tuple[str, int, str]:
    """Task, transform and colours of a name; called for each of a million names."""
    colours = name[-10:]
    transform = _MIDDLES.get(name[-18:-10])
    if transform is not None and _is_permutation(colours):
        return name.partition(SEPARATOR)[0], transform, colours
    match = _HRM_NAME.fullmatch(name) if SEPARATOR not in name else None
    if match is not None and _is_permutation(match[3]):
        return match[1], int(match[2]), match[3]
    return name, 0, _ALL_COLOURS


def _is_permutation(colours: str) -> bool:
    return len(set(colours)) == len(colours) == COLOURS and colours.isascii() and colours.isdecimal()


def read_name(name: str) -> tuple[str, Augmentation]:
    """The task and the augmentation that a name stands for, in TRM's or HRM's form; a plain name is the identity."""
    task, transform, colours = _parts(name)
    return task, Augmentation(transform, colours)


def drawn_augmentation(uniforms: NDArray[np.float64]) -> Augmentation:
    """The augmentation that ten numbers in [0, 1) choose: one for the transform, nine for the colours 1-9."""
    order = uniforms[1:].argsort() + 1
    return Augmentation(int(uniforms[0] * len(INVERSE)), "0" + "".join(str(colour) for colour in order))


class NamedAugmentations:
    """The augmentations that the puzzle ids of a data set stand for.

    Args:
        identifiers: the name of each puzzle id (index = id); entry 0 is the blank one and belongs to no task.

    Attributes:
        tasks: [T] names of the tasks, in the order they are met.
        task_of: [I] index of each id's task; -1 for the blank one.
        transforms: [I] the transform of each id.
        colour_maps: [I, 10] the colour map of each id.
    """

    def __init__(self, identifiers: Sequence[str]) -> None:
        count = len(identifiers)
        self.transforms = np.zeros(count, dtype=np.uint8)
        self.task_of = np.full(count, -1, dtype=np.int32)
        numbers: dict[str, int] = {}
        colours: list[str] = [_ALL_COLOURS] * count
        for number in range(1, count):
            task, self.transforms[number], colours[number] = _parts(identifiers[number])
            self.task_of[number] = numbers.setdefault(task, len(numbers))
        self.tasks = list(numbers)
        digits = np.frombuffer("".join(colours).encode(), dtype=np.uint8) - np.uint8(ord("0"))
        self.colour_maps = digits.reshape(count, COLOURS)
        # The ids of each task side by side, in ascending order.
        by_task = np.argsort(self.task_of, kind="stable")
        self._ids = by_task[int((self.task_of < 0).sum()) :].astype(np.int32)
        self._starts = np.searchsorted(self.task_of[self._ids], np.arange(len(self.tasks) + 1))

    @property
    def counts(self) -> NDArray[np.int64]:
        """[T] how many ids each task has."""
        return np.diff(self._starts)

    def ids(self, tasks: NDArray[np.integer], places: NDArray[np.integer]) -> NDArray[np.int32]:
        """The id at each place (0 the first, the un-augmented one) among those of each task. [N], [N] -> [N]"""
        found: NDArray[np.int32] = self._ids[self._starts[tasks] + places]
        return found

    def augmentation(self, number: int) -> Augmentation:
        """What an id stands for."""
        colours = "".join(str(colour) for colour in self.colour_maps[number].tolist())
        return Augmentation(int(self.transforms[number]), colours)

    def others(self, task: int, own: int, start: float, count: int) -> NDArray[np.intp]:
        """`own` and behind it other ids of the task, each once before one comes again. [count]

        Args:
            task: its index.
            own: one of its ids; where it is the only one it comes again and again.
            start: in [0, 1), where among the others to begin.
            count: how many.
        """
        of_task = self._ids[self._starts[task] : self._starts[task + 1]]
        rest = of_task[of_task != own] if len(of_task) > 1 else of_task
        places = int(start * len(rest)) + np.arange(count) - 1
        chosen = rest[places % len(rest)].astype(np.intp)
        chosen[0] = own
        return np.asarray(chosen)

    @property
    def inverse_transforms(self) -> NDArray[np.uint8]:
        """[I] the transform that undoes each id's."""
        return np.array(INVERSE, dtype=np.uint8)[self.transforms]

    @property
    def inverse_colour_maps(self) -> NDArray[np.uint8]:
        """[I, 10] the colour map that undoes each id's."""
        return self.colour_maps.argsort(axis=1).astype(np.uint8)


def distinct_augmentations(
    task: str, pairs: Sequence[tuple[Grid, Grid]], count: int, seed: int
) -> list[Augmentation]:
    """Up to `count` random augmentations, no two of which make the same puzzle, nor the task's own.

    Rule and number of trials are the official builders'; the draws depend on (seed, task, trial) only. Whether two
    augmented puzzles are equal is told by a 64-bit hash that is linear in the colours (see `Fingerprints`), which
    is some hundred times faster than making the puzzles.
    """
    stream = int.from_bytes(hashlib.sha256(f"{seed} {task}".encode()).digest()[:7], "big")
    fingerprints = Fingerprints(pairs)
    seen = set(fingerprints.of(np.zeros(1, dtype=np.intp), np.arange(COLOURS)[None]).tolist())
    chosen: list[Augmentation] = []
    trials = TRIALS_PER_AUGMENTATION * count
    block = max(count, 16)
    for low in range(0, trials, block):
        draws = uniforms(stream, np.arange(low, min(low + block, trials)), COLOURS)
        transforms = np.floor(draws[:, 0] * len(INVERSE)).astype(np.intp)
        maps = np.zeros((len(draws), COLOURS), dtype=np.uint8)
        maps[:, 1:] = draws[:, 1:].argsort(1) + 1
        texts = (maps + ord("0")).tobytes().decode()
        for trial, key in enumerate(fingerprints.of(transforms, maps).tolist()):
            if key not in seen:
                seen.add(key)
                colours = texts[trial * COLOURS : (trial + 1) * COLOURS]
                chosen.append(Augmentation(int(transforms[trial]), colours))
                if len(chosen) == count:
                    return chosen
    return chosen


class Fingerprints:
    """Hashes of a task's augmented puzzles without making them.

    A grid's hash is the sum over its cells of (weight of the cell's place) x (weight of its colour), modulo 2^64, with
    random weights. So only the sums of place weights of each colour are needed, for each of the 8 transforms once.
    """

    def __init__(self, pairs: Sequence[tuple[Grid, Grid]]) -> None:
        weights = np.random.Generator(np.random.Philox(key=0xA2C)).integers(
            0, 2**64, size=(2, 33, 33), dtype=np.uint64
        )
        self._colours = np.random.Generator(np.random.Philox(key=0xC01)).integers(
            0, 2**64, size=COLOURS, dtype=np.uint64
        )
        # [8, pairs, 10] sums of weights of each colour, and [8, pairs] what stands for the shapes.
        self._sums = np.zeros((len(INVERSE), len(pairs), COLOURS), dtype=np.uint64)
        self._shapes = np.zeros((len(INVERSE), len(pairs)), dtype=np.uint64)
        with np.errstate(over="ignore"):
            for number, pair in enumerate(pairs):
                for t in range(len(INVERSE)):
                    for side, grid in enumerate(pair):
                        turned = dihedral(grid, t)
                        rows, columns = turned.shape
                        where = weights[side, :rows, :columns]
                        for colour in np.unique(turned):
                            self._sums[t, number, colour] += where[turned == colour].sum(dtype=np.uint64)
                        self._shapes[t, number] += weights[side, 31, rows] + weights[side, 32, columns]

    def of(self, transforms: NDArray[np.intp], maps: NDArray[np.integer]) -> NDArray[np.uint64]:
        """The hash of each augmented puzzle, whatever the order of its pairs. [K], [K, 10] -> [K]"""
        with np.errstate(over="ignore"):
            colours = self._colours[maps]
            pairs = (self._sums[transforms] * colours[:, None, :]).sum(2, dtype=np.uint64)
            pairs += self._shapes[transforms]
            for shift, factor in ((31, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                pairs = (pairs ^ (pairs >> np.uint64(shift))) * np.uint64(factor)
            hashes: NDArray[np.uint64] = (pairs ^ (pairs >> np.uint64(31))).sum(1, dtype=np.uint64)
        return hashes
