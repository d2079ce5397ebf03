"""Exact Sudoku solving: one board in plain Python (solutions, rating), many boards in lock step with numpy.

Candidates are bit masks: bit d - 1 of a cell's mask says that digit d is still possible. Propagation applies
naked singles (a cell with one candidate) and hidden singles (a digit with one place in a unit) until nothing
changes. All its steps only shrink masks, so the end does not depend on their order.

Shapes: N boards, L cells, U units, n size.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.sudoku_geometry import Geometry, geometry

_NODES_AT_ONCE = 2048
_BOARDS_A_TASK = 1024
_ONE_PROCESS_UP_TO = 4096


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found."""

    solutions: list[list[int]]
    """Up to `limit` boards [L] of digits 1..n, in the order found."""
    guesses: int
    """The rating: candidates tried, right or wrong, until the first solution (or until none was found)."""
    complete: bool = True
    """False where the search was given up before it had found `limit` solutions or seen that there are no more."""


def digits_to_masks(board: Geometry, digits: Sequence[int]) -> tuple[list[int], list[int]]:
    """Candidate masks [L] and the given cells of a board of digits (0 is a blank)."""
    masks = [1 << (digit - 1) if digit else board.full for digit in digits]
    return masks, [cell for cell, digit in enumerate(digits) if digit]


def propagate(board: Geometry, masks: list[int], fresh: list[int]) -> bool:
    """Applies naked and hidden singles to `masks` [L] in place; False on a contradiction.

    `fresh` holds the cells with one candidate that their peers do not know of yet; it is used up.
    """
    peers, full = board.peers, board.full
    while True:
        while fresh:
            cell = fresh.pop()
            bit = masks[cell]
            for peer in peers[cell]:
                mask = masks[peer]
                if mask & bit:
                    mask ^= bit
                    if not mask:
                        return False
                    masks[peer] = mask
                    if not mask & (mask - 1):
                        fresh.append(peer)
        for number, read in enumerate(board.read_unit):
            once = twice = solved = 0
            for mask in read(masks):
                twice |= once & mask
                once |= mask
                if not mask & (mask - 1):
                    solved |= mask
            if once != full:
                return False
            hidden = once & ~twice & ~solved
            if hidden:
                for cell in board.units[number]:
                    bit = masks[cell] & hidden
                    if bit:
                        if bit & (bit - 1):
                            return False  # two digits have this cell as their only place
                        masks[cell] = bit
                        fresh.append(cell)
                # Tell the peers at once: smaller masks make the next units cheaper.
                break
        if not fresh:
            return True


def tightest_cell(masks: list[int]) -> int:
    """The open cell with the fewest candidates, the first in index order on ties; -1 when all are solved."""
    best, fewest = -1, 99
    for cell, mask in enumerate(masks):
        if mask & (mask - 1):
            count = mask.bit_count()
            if count == 2:
                return cell
            if count < fewest:
                best, fewest = cell, count
    return best


def search_masks(
    board: Geometry, masks: list[int], fresh: list[int], limit: int, most_guesses: int | None = None
) -> SearchResult:
    """Depth-first search from candidate masks; uses up both lists. Stops at `limit` solutions, or gives up."""
    solutions: list[list[int]] = []
    tried = 0
    guesses = 0
    most = math.inf if most_guesses is None else most_guesses
    complete = True

    def visit(masks: list[int], fresh: list[int]) -> None:
        nonlocal tried, guesses, complete
        if not propagate(board, masks, fresh):
            return
        cell = tightest_cell(masks)
        if cell < 0:
            if not solutions:
                guesses = tried
            solutions.append([mask.bit_length() for mask in masks])
            return
        open_digits = masks[cell]
        while open_digits and len(solutions) < limit and complete:
            if tried >= most:
                complete = False
                return
            bit = open_digits & -open_digits
            open_digits ^= bit
            tried += 1
            child = masks.copy()
            child[cell] = bit
            visit(child, [cell])

    visit(masks, fresh)
    return SearchResult(solutions=solutions, guesses=guesses if solutions else tried, complete=complete)


def search(size: int, digits: Sequence[int], limit: int = 2, most_guesses: int | None = None) -> SearchResult:
    """Solutions of a board of digits [L] (0 is a blank), up to `limit`, and the guesses until the first.

    Some boards with few givens keep any solver busy for hours: `most_guesses` is when to give up.
    """
    board = geometry(size)
    return search_masks(board, *digits_to_masks(board, digits), limit, most_guesses)


@functools.lru_cache(maxsize=3)
def _tables(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.uint8]]:
    board = geometry(size)
    units = np.array(board.units, dtype=np.intp)
    membership = np.zeros((board.cells, len(units)), dtype=np.float32)
    for number, unit in enumerate(board.units):
        membership[list(unit), number] = 1
    ones = np.array([value.bit_count() for value in range(size * (1 << size) + 1)], dtype=np.uint8)
    return units, np.array(board.units_of_cell, dtype=np.intp), membership, ones


def _propagate_many(size: int, masks: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.intp]]:
    """Propagates boards [N, L]: the masks of those without contradiction and which rows they were."""
    units, units_of_cell, membership, ones = _tables(size)
    full = np.uint16((1 << size) - 1)
    alive = np.arange(len(masks))
    done_masks: list[NDArray[np.uint16]] = []
    done_rows: list[NDArray[np.intp]] = []
    while len(masks):
        before = masks
        single = ones[masks] == 1
        # A sum of k powers of two has k one bits only where all differ: the sum is the union, and repeats
        # show.
        sums = (np.where(single, masks, 0).astype(np.float32) @ membership).astype(np.uint16)
        repeated = ones[sums] != (single.astype(np.float32) @ membership)
        seen = sums[:, units_of_cell[:, 0]] | sums[:, units_of_cell[:, 1]] | sums[:, units_of_cell[:, 2]]
        masks = np.where(single, masks, masks & ~seen)
        once = np.zeros_like(sums)
        twice = np.zeros_like(sums)
        for place in range(size):
            here = masks[:, units[:, place]]
            twice |= once & here
            once |= here
        hidden = once & ~twice
        only = (
            hidden[:, units_of_cell[:, 0]] | hidden[:, units_of_cell[:, 1]] | hidden[:, units_of_cell[:, 2]]
        )
        only &= masks
        masks = np.where(only != 0, only, masks)
        bad = repeated.any(1) | (once != full).any(1) | (masks == 0).any(1) | (ones[only] > 1).any(1)
        moving = (masks != before).any(1) & ~bad
        still = ~moving & ~bad
        done_masks.append(masks[still])
        done_rows.append(alive[still])
        masks, alive = masks[moving], alive[moving]
    return np.concatenate(done_masks), np.concatenate(done_rows)


def _count(size: int, digits: NDArray[Any], limit: int) -> NDArray[np.int64]:
    ones = _tables(size)[3]
    boards = np.asarray(digits).astype(np.int64)
    starts = np.where(boards > 0, 1 << np.maximum(boards - 1, 0), (1 << size) - 1).astype(np.uint16)
    found = np.zeros(len(boards), dtype=np.int64)
    # Last in, first out: the stack stays as small as depth times the nodes handled at once.
    stack = [
        (starts[low : low + _NODES_AT_ONCE], np.arange(low, min(low + _NODES_AT_ONCE, len(boards))))
        for low in range(0, len(boards), _NODES_AT_ONCE)
    ]
    while stack:
        masks, owners = stack.pop()
        while stack and len(masks) + len(stack[-1][0]) <= _NODES_AT_ONCE:
            more_masks, more_owners = stack.pop()
            masks, owners = np.concatenate([masks, more_masks]), np.concatenate([owners, more_owners])
        wanted = found[owners] < limit
        masks, rows = _propagate_many(size, masks[wanted]) if wanted.any() else (masks[:0], np.arange(0))
        owners = owners[wanted][rows]
        counts = ones[masks]
        solved = (counts == 1).all(1)
        np.add.at(found, owners[solved], 1)
        masks, owners, counts = masks[~solved], owners[~solved], counts[~solved]
        if not len(masks):
            continue
        cells = np.where(counts == 1, 99, counts).argmin(1)
        places = np.arange(len(masks))
        open_digits = masks[places, cells]
        lowest = open_digits & (~open_digits + np.uint16(1))
        others = masks.copy()
        others[places, cells] = open_digits ^ lowest
        masks[places, cells] = lowest
        stack.append((others, owners))
        stack.append((masks, owners))
    return np.minimum(found, limit)


def count_solutions(
    size: int, digits: NDArray[Any], limit: int = 2, *, processes: int = 1
) -> NDArray[np.int64]:
    """How many solutions each board has, counted up to `limit`. [N]

    Many boards go through each numpy call together, so a set of puzzles costs a part of solving each alone.

    Args:
        size: n.
        digits: [N, L] digits, 0 for a blank.
        limit: where counting stops.
        processes: how many processes share the work where there is much of it.
    """
    if processes <= 1 or len(digits) <= _ONE_PROCESS_UP_TO:
        return _count(size, digits, limit)
    parts = [digits[low : low + _BOARDS_A_TASK] for low in range(0, len(digits), _BOARDS_A_TASK)]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return np.concatenate(list(pool.map(_count, repeat(size), parts, repeat(limit))))
