"""Distances on packed grids, compared with a plain search."""

from collections import deque

import numpy as np
import pytest

from thinkling.tasks.maze_paths import flood, on_shortest_paths, one_cell, pack, path_lengths, unpack


def distances(cells: np.ndarray, start: int) -> np.ndarray:
    """Breadth first, a cell at a time; -1 where no way leads."""
    rows, columns = cells.shape
    steps = np.full(rows * columns, -1)
    steps[start] = 0
    queue = deque([start])
    while queue:
        row, column = divmod(queue.popleft(), columns)
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < rows and 0 <= c < columns and cells[r, c] and steps[r * columns + c] < 0:
                steps[r * columns + c] = steps[row * columns + column] + 1
                queue.append(r * columns + c)
    return steps


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 16, 30, 33, 64, 65, 130])
def test_distances_equal_a_plain_search(columns):
    """Widths around the borders of machine words."""
    random = np.random.default_rng(columns)
    cells = random.random((40, 6, columns)) < 0.75
    starts, goals = random.integers(0, 6 * columns, (2, 40))
    flat = cells.reshape(40, -1)
    flat[np.arange(40), starts] = flat[np.arange(40), goals] = True
    words = pack(cells)
    assert (unpack(words, columns) == cells).all()
    found = np.full((40, 6 * columns), -1)
    for steps, frontier in enumerate(flood(words, one_cell(words, starts, columns))):
        found[unpack(frontier, columns).reshape(40, -1)] = steps
    expected = np.stack([distances(*pair) for pair in zip(cells, starts.tolist(), strict=True)])
    assert (found == expected).all()
    assert (path_lengths(cells, starts, goals) == expected[np.arange(40), goals]).all()


def test_the_cells_on_shortest_paths():
    cells = np.ones((4, 3, 3), dtype=np.bool_)
    cells[1, 1, 1] = False
    cells[2, :, 1] = [True, False, False]
    cells[3, :, 1] = False
    marked = on_shortest_paths(cells, np.array([0, 0, 6, 0]), np.array([5, 8, 8, 8]))
    assert marked.astype(int).tolist() == [
        [[1, 1, 1], [1, 1, 1], [0, 0, 0]],
        [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
        [[1, 1, 1], [1, 0, 1], [1, 0, 1]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
