"""Distances in many mazes at once: a row of cells is a machine word, and one operation moves every frontier.

Shapes: N mazes, R rows, C columns, W words a row (1 up to 64 columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = (8, 16, 32, 64)


def pack(cells: NDArray[np.bool_]) -> NDArray[Any]:
    """Cells [N, R, C] as words [N, R, W], column c in bit c."""
    count, rows, columns = cells.shape
    bits = next((size for size in _WORD_BITS if columns <= size), 64)
    padded = np.zeros((count, rows, -(-columns // bits) * bits), dtype=np.bool_)
    padded[:, :, :columns] = cells
    return np.packbits(padded, axis=2, bitorder="little").view(np.dtype(f"<u{bits // 8}"))


def unpack(words: NDArray[Any], columns: int) -> NDArray[np.bool_]:
    """What `pack` was given: [N, R, C]."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=columns, bitorder="little").view(np.bool_)


def beside(words: NDArray[Any]) -> NDArray[Any]:
    """The cells next to marked ones [N, R, W], by the four moves."""
    one = words.dtype.type(1)
    near: NDArray[Any] = words << one
    near |= words >> one
    if words.shape[2] > 1:  # a step from one word of a row into the next
        last = words.dtype.type(8 * words.dtype.itemsize - 1)
        near[:, :, 1:] |= words[:, :, :-1] >> last
        near[:, :, :-1] |= words[:, :, 1:] << last
    near[:, 1:] |= words[:, :-1]
    near[:, :-1] |= words[:, 1:]
    return near


def flood(free: NDArray[Any], start: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The cells at distance 0, 1, 2, ... of the start cells, until there are none in any maze: [N, R, W] each.

    Args:
        free: [N, R, W] cells that may be entered.
        start: [N, R, W] cells at distance 0, free themselves.
    """
    unseen, frontier = free ^ start, start
    while frontier.any():
        yield frontier
        frontier = beside(frontier)
        frontier &= unseen
        unseen ^= frontier


def path_lengths(
    free: NDArray[np.bool_], starts: NDArray[np.intp], goals: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Steps of a shortest path in each maze, or -1 where there is none. [N]

    Args:
        free: [N, R, C] cells that may be entered; starts and goals are among them.
        starts: [N] cell where the path begins, counted row by row.
        goals: [N] cell where it ends.
    """
    count, _, columns = free.shape
    words = pack(free)
    start = one_cell(words, starts, columns)
    every = np.arange(count)
    goal_row, goal_word, goal_bit = _place(words, goals, columns)
    lengths = np.full(count, -1, dtype=np.int32)
    waiting = np.ones(count, dtype=np.bool_)
    for steps, frontier in enumerate(flood(words, start)):
        reached = (frontier[every, goal_row, goal_word] & goal_bit) != 0
        if reached.any():
            lengths[reached] = steps
            waiting &= ~reached
            if not waiting.any():
                break
    return lengths


def on_shortest_paths(
    free: NDArray[np.bool_], starts: NDArray[np.intp], goals: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """The cells on any shortest path, both ends included: [N, R, C]; none where there is no path.

    A path of n steps is the only shortest one exactly where n + 1 cells are marked. Arguments as for `path_lengths`.
    """
    columns = free.shape[2]
    words = pack(free)
    goal = one_cell(words, goals, columns)
    frontiers = list(flood(words, one_cell(words, starts, columns)))
    found, last = np.zeros_like(words), np.zeros_like(words)
    for frontier in reversed(frontiers):
        last = (beside(last) | goal) & frontier
        found |= last
    return unpack(found, columns)


def one_cell(words: NDArray[Any], cells: NDArray[np.intp], columns: int) -> NDArray[Any]:
    """Words like those given [N, R, W], with only one cell of each maze marked."""
    marked = np.zeros_like(words)
    row, word, bit = _place(words, cells, columns)
    marked[np.arange(len(cells)), row, word] = bit
    return marked


def _place(
    words: NDArray[Any], cells: NDArray[np.intp], columns: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    rows, places = np.divmod(cells, columns)
    word, bit = np.divmod(places, 8 * words.dtype.itemsize)
    return rows, word, words.dtype.type(1) << bit.astype(words.dtype)
