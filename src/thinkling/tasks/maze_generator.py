"""Random mazes with exactly one shortest path, of a length in a chosen range.

A candidate: 30 to 50 % of the cells (their number uniform in that range) become walls at random; S is a random open
cell; G a random cell whose distance from S is in the range asked for, and where there is none the candidate comes to
nothing; one of the shortest paths is drawn at random and every other cell that lies on some shortest path is walled
off, which leaves the path unique and its length as it was. Candidate `i` depends on `(seed, i)` only, so candidates
are made on any number of processes with the same result.

Shapes: N candidates, M of them that became mazes, R rows, C columns, L = R * C cells, P = (R + 2) * (C + 2) cells with
a border around.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.sampling import random_words, uniforms
from thinkling.errors import InputError
from thinkling.tasks.candidate_stream import stream_chunks
from thinkling.tasks.maze import BLANK, GOAL, PATH, START, WALL, Maze
from thinkling.tasks.maze_paths import beside, flood, one_cell, pack, unpack

WALL_SHARE = (0.3, 0.5)
"""The least and the greatest share of cells that become walls at random."""

_HARD = (110, 30)
_TRIES_FOR_START = 24
_TOGETHER = 2048
_CHUNK = 4096
_LATER_NUMBERS = 1 << 40


@dataclass(frozen=True, kw_only=True)
class MazeKind:
    """What mazes are asked for."""

    rows: int
    """R."""
    columns: int
    """C."""
    min_length: int
    """Fewest steps of the shortest path."""
    max_length: int | None = None
    """Most steps of the shortest path; None for no limit."""

    def __post_init__(self) -> None:
        """InputError for lengths that no maze of this size can have."""
        cells = Maze(self.rows, self.columns).seq_len
        longest = max(cells - 1 if min(self.rows, self.columns) < 3 else 2 * cells // 3 + 1, 1)
        if not 1 <= self.min_length <= longest:
            raise InputError(
                f"shortest paths of {self.min_length} or more steps in {self.rows}x{self.columns}",
                f"1 to {longest}",
                "choose another length or size",
            )
        if self.max_length is not None and self.max_length < self.min_length:
            raise InputError(
                f"shortest paths of at most {self.max_length} and at least {self.min_length} steps",
                "a most that is not below the least",
                "correct one of the two",
            )


@dataclass(frozen=True, kw_only=True)
class Mazes:
    """Mazes made from a range of candidates."""

    questions: NDArray[np.uint8]
    """[M, L] tokens."""
    answers: NDArray[np.uint8]
    """[M, L] tokens."""
    ratings: NDArray[np.int32]
    """[M] length of the shortest path in steps."""
    candidates: int
    """N: how many candidates were tried."""
    longest: int
    """The longest distance from an S that was seen among them, as far as the least one asked for."""

    @classmethod
    def joined(cls, parts: Sequence[Mazes]) -> Mazes:
        """Several ranges as one."""
        return cls(
            questions=np.concatenate([part.questions for part in parts]),
            answers=np.concatenate([part.answers for part in parts]),
            ratings=np.concatenate([part.ratings for part in parts]),
            candidates=sum(part.candidates for part in parts),
            longest=max(part.longest for part in parts),
        )

    def select(self, rows: Any) -> Mazes:
        """The rows named by an index or mask."""
        return Mazes(
            questions=self.questions[rows],
            answers=self.answers[rows],
            ratings=self.ratings[rows],
            candidates=self.candidates,
            longest=self.longest,
        )


def default_min_length(rows: int, columns: int) -> int:
    """The least length where none is asked for: 110 for 30x30 (as in Maze-Hard), in proportion for other sizes.

    Up to 30x30 it grows with the cells (8 for 8x8, 12 for 10x10), above with rows and columns.
    """
    length, side = _HARD
    shares = (rows * columns / side**2, (rows + columns) / (2 * side))
    return max(round(length * min(shares)), 1)


def make_candidates(kind: MazeKind, seed: int, first: int, count: int) -> Mazes:
    """The mazes among candidates `first` to `first + count` of a seed, in their order."""
    parts = []
    for low in range(first, first + count, _TOGETHER):
        items = np.arange(low, min(low + _TOGETHER, first + count), dtype=np.int64)
        cells, starts, numbers = _random_grids(kind, seed, items)
        far, longest = _far_enough(cells, starts, kind.min_length)
        parts.append(
            _finish(kind, cells[far], starts[far], seed, numbers[far], tried=len(items), longest=longest)
        )
    return Mazes.joined(parts)


def _random_grids(
    kind: MazeKind, seed: int, items: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.int64]]:
    """Open cells [n, R, C], S [n], and the candidate [n] that each is from."""
    count = kind.rows * kind.columns
    fewest, most = math.ceil(WALL_SHARE[0] * count), math.floor(WALL_SHARE[1] * count)
    words = random_words(seed, items, 1 + _TRIES_FOR_START // 2 + -(-count // 4))
    # Where each cell is a wall with one chance p for all, and p is uniform, every number of walls is as likely as
    # every other, and so is every choice of that many cells. No p further than six deviations off matters.
    deviation = 6 * math.sqrt(0.25 / count)
    low, high = max(WALL_SHARE[0] - deviation, 0.0), min(WALL_SHARE[1] + deviation, 1.0)
    chance = low + (words[:, 0] >> np.uint64(11)).astype(np.float64) * 2.0**-53 * (high - low)
    limits = np.minimum(chance * 2.0**16, 2.0**16 - 1).astype(np.uint16)
    draws = words[:, 1 + _TRIES_FOR_START // 2 :].view(np.uint16)[:, :count]
    cells = draws >= limits[:, None]
    walls = count - np.count_nonzero(cells, axis=1)
    tries = words[:, 1 : 1 + _TRIES_FOR_START // 2].copy().view(np.uint32).astype(np.uint64)
    tries = ((tries * np.uint64(count)) >> np.uint64(32)).astype(np.intp)
    opens = np.take_along_axis(cells, tries, axis=1)
    kept = (walls >= fewest) & (walls <= most) & opens.any(1)
    starts = tries[np.arange(len(items)), opens.argmax(1)]
    return cells[kept].reshape(-1, kind.rows, kind.columns), starts[kept], items[kept]


def _far_enough(
    cells: NDArray[np.bool_], starts: NDArray[np.intp], length: int
) -> tuple[NDArray[np.intp], int]:
    """The grids in which some cell is `length` steps from S, and the longest distance seen up to that."""
    unseen = pack(cells)
    frontier = one_cell(unseen, starts, cells.shape[2])
    unseen ^= frontier
    alive = np.arange(len(cells))
    for steps in range(length):
        if steps % 4 == 0:
            going = frontier.any((1, 2))
            if not going.any():
                return alive[:0], max(steps - 1, 0)
            if going.mean() < 0.9:
                unseen, frontier, alive = unseen[going], frontier[going], alive[going]
        frontier = beside(frontier)
        frontier &= unseen
        unseen ^= frontier
    return alive[frontier.any((1, 2))], length


def _finish(
    kind: MazeKind,
    cells: NDArray[np.bool_],
    starts: NDArray[np.intp],
    seed: int,
    numbers: NDArray[np.int64],
    *,
    tried: int,
    longest: int,
) -> Mazes:
    """Chooses G and the path, and walls off the other shortest paths."""
    distances = _distances(cells, starts)
    size = distances.shape[1]
    width = kind.columns + 2
    top = size if kind.max_length is None else kind.max_length
    fits = (distances >= kind.min_length) & (distances <= top)
    draws = uniforms(seed + _LATER_NUMBERS, numbers, 1 + int(distances.max(initial=0)))
    seen = fits.cumsum(1)
    chosen = (seen > (draws[:, :1] * seen[:, -1:]).astype(np.int64)).argmax(1)
    possible = seen[:, -1] > 0
    distances, draws, chosen = distances[possible], draws[possible], chosen[possible]
    starts, cells = starts[possible], cells[possible]
    count = len(cells)
    grids = np.arange(count) * size
    lengths = distances.reshape(-1)[grids + chosen]
    begin = grids + (starts // kind.columns + 1) * width + starts % kind.columns + 1
    end = grids + chosen
    on_some, path = _shortest_paths(distances, lengths, begin, end, draws[:, 1:], width)

    def without_border(marks: NDArray[Any]) -> NDArray[Any]:
        inner = marks.reshape(count, kind.rows + 2, width)[:, 1:-1, 1:-1]
        return inner.reshape(count, kind.rows * kind.columns)

    questions = np.where(cells.reshape(count, kind.rows * kind.columns), np.uint8(BLANK), np.uint8(WALL))
    questions[without_border(on_some & ~path)] = WALL
    flat = without_border(np.arange(count * size))
    questions[flat == begin[:, None]] = START
    questions[flat == end[:, None]] = GOAL
    answers = questions.copy()
    answers[without_border(path) & (questions == BLANK)] = PATH
    return Mazes(
        questions=questions,
        answers=answers,
        ratings=lengths.astype(np.int32),
        candidates=tried,
        longest=longest,
    )


def _distances(cells: NDArray[np.bool_], starts: NDArray[np.intp]) -> NDArray[np.int32]:
    """Steps from S to every cell, the border included: [M, P]; -1 for walls and what cannot be reached."""
    count, rows, columns = cells.shape
    distances = np.full((count, rows + 2, columns + 2), -1, dtype=np.int32)
    words = pack(cells)
    for steps, frontier in enumerate(flood(words, one_cell(words, starts, columns))):
        distances[:, 1:-1, 1:-1][unpack(frontier, columns)] = steps
    return distances.reshape(count, (rows + 2) * (columns + 2))


def _shortest_paths(
    distances: NDArray[np.int32],
    lengths: NDArray[np.int32],
    begin: NDArray[np.intp],
    end: NDArray[np.intp],
    draws: NDArray[np.float64],
    width: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells on any shortest path, and those on one drawn so that each is as likely: [M * P] each.

    Args:
        distances: [M, P] steps from S.
        lengths: [M] steps from S to G.
        begin: [M] place of S in all cells [M * P].
        end: [M] place of G there.
        draws: [M, lengths.max()] uniform numbers.
        width: cells from one row to the next.
    """
    near = np.array([-width, width, -1, 1])
    steps = distances.reshape(-1)
    most = int(lengths.max(initial=0))
    levels = _levels(distances, lengths, most)
    ways = np.zeros(len(steps))
    ways[begin] = 1
    for level in range(1, most + 1):
        around = levels[level][:, None] + near
        ways[levels[level]] = np.where(steps[around] == level - 1, ways[around], 0).sum(1)
    on_some = np.zeros(len(steps), dtype=np.bool_)
    on_some[end] = True
    for level in range(most - 1, -1, -1):
        around = levels[level][:, None] + near
        on_some[levels[level]] |= ((steps[around] == level + 1) & on_some[around]).any(1)
    path = np.zeros(len(steps), dtype=np.bool_)
    path[begin] = path[end] = True
    here = end.copy()
    for level in range(most, 1, -1):
        going = np.flatnonzero(lengths >= level)
        around = here[going][:, None] + near
        weights = np.where(steps[around] == level - 1, ways[around], 0).cumsum(1)
        picked = (weights > draws[going, level - 1 : level] * weights[:, -1:]).argmax(1)
        here[going] = around[np.arange(len(going)), picked]
        path[here[going]] = True
    return on_some, path


def _levels(distances: NDArray[np.int32], lengths: NDArray[np.int32], most: int) -> list[NDArray[np.intp]]:
    """The places [M * P] of the cells at each distance up to G's."""
    places = np.flatnonzero((distances >= 0) & (distances <= lengths[:, None]))
    steps = distances.reshape(-1)[places]
    places = places[steps.argsort(kind="stable")]
    return np.split(places, np.bincount(steps, minlength=most + 1).cumsum()[:-1])


def stream_candidates(kind: MazeKind, seed: int, processes: int) -> Generator[Mazes, None, None]:
    """The mazes of a seed in order, in chunks of candidates; see `stream_chunks`."""
    return stream_chunks(functools.partial(make_candidates, kind, seed), _CHUNK, processes)
