"""Which cells of a Sudoku belong together: rows, columns, boxes, bands and stacks of the three sizes.

A band is the rows that share boxes, a stack the columns that share boxes. Units are numbered rows first, then
columns, then boxes.

Shapes: n size (4, 6 or 9), L = n * n cells in row-major order, U = 3 n units.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

SIZES = (4, 6, 9)
"""The sizes there are."""

_BOX_SHAPES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The board of one size. Build it with `geometry(size)`."""

    size: int
    """n: rows, columns, boxes and digits."""
    box_rows: int
    """Rows of a box; also the number of stacks."""
    box_columns: int
    """Columns of a box; also the number of bands."""
    units: tuple[tuple[int, ...], ...]
    """[U][n] cells of each row, column and box."""
    units_of_cell: tuple[tuple[int, int, int], ...]
    """[L] the row, column and box unit of a cell."""
    peers: tuple[tuple[int, ...], ...]
    """[L] the cells that share a unit with a cell, without itself."""
    read_unit: tuple[Callable[[Any], tuple[int, ...]], ...]
    """[U] functions that pick a unit's cells out of a list (one call in C instead of n look-ups)."""

    @property
    def cells(self) -> int:
        """L: the number of cells."""
        return self.size * self.size

    @property
    def full(self) -> int:
        """The candidate mask with every digit: bit d - 1 stands for digit d."""
        return (1 << self.size) - 1

    @property
    def transposable(self) -> bool:
        """Whether transposing a board gives a board (not so where boxes are not square)."""
        return self.box_rows == self.box_columns

    def cell_name(self, cell: int) -> str:
        """The name of a cell as users count: "row r, column c" from 1."""
        return f"row {cell // self.size + 1}, column {cell % self.size + 1}"

    def unit_name(self, unit: int) -> str:
        """The name of a unit as users count: "row 1", "column 3", "box 9"."""
        return f"{('row', 'column', 'box')[unit // self.size]} {unit % self.size + 1}"


@functools.lru_cache(maxsize=len(SIZES))
def geometry(size: int) -> Geometry:
    """The board of size 4, 6 or 9."""
    assert size in _BOX_SHAPES, "the task checks the size before it comes here"
    box_rows, box_columns = _BOX_SHAPES[size]

    def box_of(cell: int) -> int:
        row, column = divmod(cell, size)
        return row // box_rows * (size // box_columns) + column // box_columns

    cells = range(size * size)
    units_of_cell = tuple((cell // size, size + cell % size, 2 * size + box_of(cell)) for cell in cells)
    units = tuple(tuple(c for c in cells if unit in units_of_cell[c]) for unit in range(3 * size))
    peers = tuple(
        tuple(p for p in cells if p != cell and not set(units_of_cell[p]).isdisjoint(units_of_cell[cell]))
        for cell in cells
    )
    return Geometry(
        size=size,
        box_rows=box_rows,
        box_columns=box_columns,
        units=units,
        units_of_cell=units_of_cell,
        peers=peers,
        read_unit=tuple(itemgetter(*unit) for unit in units),
    )
