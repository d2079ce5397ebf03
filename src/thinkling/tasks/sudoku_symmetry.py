"""The symmetries of Sudoku: transforming boards, and telling whether two boards are equal up to them.

The symmetries are: relabelling the digits, permuting rows inside a band, the bands, columns inside a stack,
the stacks, and (where boxes are square) transposition. Equality is decided in two steps. A fingerprint that
no symmetry changes is computed for all boards at once with numpy; only boards with equal fingerprints are
brought into their exact canonical form, the lexicographically smallest board that symmetries reach.

Shapes: N boards, n size, L = n * n cells, K uniform numbers, A arrangements.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.sudoku_geometry import geometry

_ROWS_AT_ONCE = 1024
_REFINEMENTS = 3


def transform(
    board: NDArray[Any],
    *,
    transposed: bool,
    row_perm: NDArray[np.intp],
    col_perm: NDArray[np.intp],
    digit_map: NDArray[Any],
) -> NDArray[Any]:
    """One symmetric copy: `digit_map[g[row_perm][:, col_perm]]`, of a board transposed first if asked.

    Args:
        board: [n, n] digits, 0 for a blank.
        transposed: whether rows and columns are swapped first.
        row_perm: [n] the row each new row comes from.
        col_perm: [n] the column each new column comes from.
        digit_map: [n + 1] the new digit of each digit; entry 0 is 0.

    Source: HRM's `dataset/build_sudoku_dataset.py`, `shuffle_sudoku`.
    """
    grid = board.T if transposed else board
    return np.asarray(digit_map[grid[row_perm][:, col_perm]])


def numbers_per_copy(size: int) -> int:
    """K: how many uniform numbers `draw_copies` turns into one symmetric copy."""
    board = geometry(size)
    return 3 * size + board.box_rows + board.box_columns + 1


def draw_copies(size: int, uniforms: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Random symmetries: where each cell comes from [N, L] and the new digit of each digit [N, n + 1].

    Args:
        size: n.
        uniforms: [N, K] numbers in [0, 1).
    """
    board = geometry(size)
    bands, stacks = board.box_columns, board.box_rows
    ends = np.cumsum([size, bands, size, stacks, size])
    digits, band, row, stack, column, flip = np.split(uniforms, ends, axis=1)
    relabel = np.zeros((len(uniforms), size + 1), dtype=np.intp)
    relabel[:, 1:] = digits.argsort(1) + 1
    rows = _line_order(band, row, board.box_rows)
    columns = _line_order(stack, column, board.box_columns)
    cells = rows[:, :, None] * size + columns[:, None, :]
    if board.transposable:
        swapped = columns[:, None, :] * size + rows[:, :, None]
        cells = np.where(flip[:, :, None] < 0.5, cells, swapped)
    return cells.reshape(len(uniforms), -1), relabel


def _line_order(groups: NDArray[np.float64], lines: NDArray[np.float64], per_group: int) -> NDArray[np.intp]:
    """The order of lines that permutes whole groups, and lines inside each group."""
    # The group's rank, not its number, leads the key: keys of two groups can then never mix.
    ranks = groups.argsort(1).argsort(1)
    return (np.repeat(ranks, per_group, axis=1) + lines).argsort(1)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _salted(values: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    return _mix(values * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt))


def _line_colours(lines: NDArray[np.int64], per_group: int) -> NDArray[np.uint64]:
    """A colour of each line [N, n] from the cycles of the permutations that carry it to the other lines.

    `lines` are [N, n, n] digits from 0. Reordering the places of all lines, or relabelling digits, only
    conjugates these permutations, so their cycle lengths stay.
    """
    count, size, _ = lines.shape
    where = lines.argsort(2)
    first, second = np.triu_indices(size, 1)
    step = np.take_along_axis(lines[:, second], where[:, first], axis=2)
    power, identity = step, np.arange(size)
    pair = np.zeros((count, len(first)), dtype=np.uint64)
    for _ in range(2, size):
        power = np.take_along_axis(step, power, axis=2)
        pair = pair * np.uint64(size + 1) + (power == identity).sum(2).astype(np.uint64)
    pair = _salted(pair, 1) + np.where(first // per_group == second // per_group, np.uint64(77), np.uint64(0))
    pair = _mix(pair)
    colours = np.zeros((count, size), dtype=np.uint64)
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        colours[:, a] += pair[:, place]
        colours[:, b] += pair[:, place]
    return _mix(colours)


def _fingerprints(size: int, grids: NDArray[np.int64], masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    board = geometry(size)
    count = len(grids)
    lines = grids.reshape(count, size, size) - 1
    row_colours = _line_colours(lines, board.box_rows)
    column_colours = _line_colours(lines.transpose(0, 2, 1), board.box_columns)
    # Rows and columns are told apart only where no symmetry swaps them.
    column_salt = 2 if board.transposable else 3
    cells = _salted(row_colours, 2)[:, :, None] + _salted(column_colours, column_salt)[:, None, :]
    cells = _mix(cells + masks.reshape(count, size, size) * np.uint64(0x5851F42D4C957F2D))
    boxes = (count, size // board.box_rows, board.box_rows, size // board.box_columns, board.box_columns)
    of_digit = lines.reshape(count, -1).argsort(1, kind="stable")
    for _ in range(_REFINEMENTS):
        row = _salted(cells.sum(2), 4)
        column = _salted(cells.sum(1), 4 if board.transposable else 5)
        band = _salted(row.reshape(count, -1, board.box_rows).sum(2), 6).repeat(board.box_rows, axis=1)
        stack = _salted(column.reshape(count, -1, board.box_columns).sum(2), 6).repeat(
            board.box_columns, axis=1
        )
        box = _salted(cells.reshape(boxes).sum((2, 4)), 7)
        box = box.repeat(board.box_rows, axis=1).repeat(board.box_columns, axis=2)
        by_digit = (
            np.take_along_axis(cells.reshape(count, -1), of_digit, axis=1).reshape(count, size, size).sum(2)
        )
        digit = np.take_along_axis(_salted(by_digit, 8), lines.reshape(count, -1), axis=1).reshape(
            cells.shape
        )
        cells = _mix(
            _salted(cells, 9) + _mix(row + band)[:, :, None] + _mix(column + stack)[:, None, :] + box + digit
        )
    return np.asarray(cells.sum((1, 2)))


def fingerprints(
    size: int, grids: NDArray[Any], masks: NDArray[np.bool_] | None = None
) -> NDArray[np.uint64]:
    """A number per board [N] that no symmetry changes; unequal boards share one only by rare accident.

    Args:
        size: n.
        grids: [N, L] solved boards, digits 1..n.
        masks: [N, L] which cells are given; None compares solved boards only.
    """
    known = np.ones(grids.shape, dtype=np.bool_) if masks is None else masks
    parts = [np.zeros(0, dtype=np.uint64)]
    with np.errstate(over="ignore"):
        for low in range(0, len(grids), _ROWS_AT_ONCE):
            part = slice(low, low + _ROWS_AT_ONCE)
            parts.append(_fingerprints(size, grids[part].astype(np.int64), known[part]))
    return np.concatenate(parts)


@functools.lru_cache(maxsize=3)
def _column_orders(size: int) -> NDArray[np.intp]:
    """All orders of the columns [A, n] that keep stacks together."""
    board = geometry(size)
    width = board.box_columns
    inside = list(itertools.permutations(range(width)))
    orders = [
        [stack * width + place for stack, order in zip(stacks, chosen, strict=True) for place in order]
        for stacks in itertools.permutations(range(board.box_rows))
        for chosen in itertools.product(inside, repeat=board.box_rows)
    ]
    return np.array(orders, dtype=np.intp)


def canonical_form(size: int, grid: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> bytes:
    """The canonical form of a board: equal for two boards exactly when a symmetry turns one into the other.

    It is the smallest solved board that symmetries reach and, over all arrangements that reach it, the
    smallest mask.

    Args:
        size: n.
        grid: [L] the solved board, digits 1..n.
        mask: [L] which cells are given; None for the solved board alone.
    """
    board = geometry(size)
    orders = _column_orders(size)
    height = board.box_rows
    weights = (size + 1) ** np.arange(size - 1, -1, -1, dtype=np.int64)
    square = grid.reshape(size, size).astype(np.int64)
    given = (np.ones_like(square) if mask is None else mask.reshape(size, size)).astype(np.int64)
    views = [(square, given), (square.T, given.T)] if board.transposable else [(square, given)]
    # The first row reads 1..n in every candidate. Which row comes first and the order of columns fix all
    # else: the digits by the first row; the rows inside a band by their first digit; the bands by theirs.
    seconds = []
    for lines, _ in views:
        for row in range(size):
            band = row // height * height
            others = [other for other in range(band, band + height) if other != row]
            digits = np.empty((len(orders), size + 1), dtype=np.int64)
            np.put_along_axis(digits, lines[row][orders], np.arange(1, size + 1)[None, :], axis=1)
            rest = np.stack(
                [np.take_along_axis(digits, lines[other][orders], axis=1) @ weights for other in others],
                axis=1,
            )
            seconds.append(rest.min(1))
    keys = np.stack(seconds)
    candidates: list[tuple[bytes, bytes]] = []
    for place, arrangement in np.argwhere(keys == keys.min()).tolist():
        lines, known = views[place // size]
        row = place % size
        order = orders[arrangement]
        relabel = np.empty(size + 1, dtype=np.int64)
        relabel[lines[row][order]] = np.arange(1, size + 1)
        relabelled = relabel[lines[:, order]]
        bands = relabelled[:, 0].reshape(-1, height)
        inside = bands.argsort(1)
        outside = bands.min(1).argsort()
        rows = (outside[:, None] * height + inside[outside]).reshape(-1)
        # argsort above puts the row that reads 1..n first: its first digit is 1, the smallest.
        candidates.append(
            (relabelled[rows].astype(np.uint8).tobytes(), known[rows][:, order].astype(np.uint8).tobytes())
        )
    smallest = min(candidates)
    return smallest[0] if mask is None else b"".join(smallest)


class SymmetryIndex:
    """Boards seen so far, told apart up to symmetry."""

    def __init__(self, size: int, *, with_masks: bool) -> None:
        """An empty index of solved boards, or of puzzles (solved boards with masks of givens)."""
        self.size = size
        self.with_masks = with_masks
        self._count = 0
        self._alone: dict[int, tuple[int, NDArray[Any], NDArray[np.bool_] | None]] = {}
        self._exact: dict[int, dict[bytes, int]] = {}

    def add(self, grids: NDArray[Any], masks: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Adds boards and tells, for each, the number of the first equal board: its own where it is new. [N]

        Boards are numbered from 0 in the order added.

        Args:
            grids: [N, L] solved boards, digits 1..n.
            masks: [N, L] which cells are given; for an index of puzzles only.
        """
        assert (masks is not None) == self.with_masks
        firsts = np.empty(len(grids), dtype=np.int64)
        for place, print_ in enumerate(fingerprints(self.size, grids, masks).tolist()):
            grid, mask = grids[place], None if masks is None else masks[place]
            firsts[place] = self._add_one(print_, self._count + place, grid, mask)
        self._count += len(grids)
        return firsts

    def _add_one(self, print_: int, number: int, grid: NDArray[Any], mask: NDArray[np.bool_] | None) -> int:
        if print_ not in self._alone:
            self._alone[print_] = (number, grid.copy(), None if mask is None else mask.copy())
            return number
        if print_ not in self._exact:
            earlier, its_grid, its_mask = self._alone[print_]
            self._exact[print_] = {canonical_form(self.size, its_grid, its_mask): earlier}
        return self._exact[print_].setdefault(canonical_form(self.size, grid, mask), number)
