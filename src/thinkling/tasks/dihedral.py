"""The eight symmetries of the square, numbered as the official builders of HRM and TRM number them.

0 identity; 1, 2, 3 quarter turns counterclockwise; 4 left-right flip; 5 up-down flip; 6 transpose; 7 a quarter turn
counterclockwise and then a left-right flip. 1 and 3 undo each other, each of the others undoes itself.

Source: HRM's `dataset/common.py`, `dihedral_transform`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVERSE: tuple[int, ...] = (0, 3, 2, 1, 4, 5, 6, 7)
"""The transform that undoes each transform."""

SHAPE_KEEPING: tuple[int, ...] = (0, 2, 4, 5)
"""The transforms that leave an oblong grid its rows and columns."""


def dihedral(grid: NDArray[Any], t: int) -> NDArray[Any]:
    """Transform t of a grid [rows, columns]; a view of it where possible."""
    assert 0 <= t < len(INVERSE)
    if t < 4:
        return np.rot90(grid, t)
    if t == 4:
        return np.fliplr(grid)
    if t == 5:
        return np.flipud(grid)
    if t == 6:
        return grid.T
    return np.fliplr(np.rot90(grid))


@functools.lru_cache(maxsize=1024)
def dihedral_cells(rows: int, columns: int, t: int) -> NDArray[np.intp]:
    """Where each cell of transform t comes from: [rows * columns], both counted row by row. Not to be changed."""
    cells = np.ascontiguousarray(dihedral(np.arange(rows * columns).reshape(rows, columns), t)).reshape(-1)
    cells.setflags(write=False)
    return cells
