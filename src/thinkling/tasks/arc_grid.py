"""ARC grids as sequences: encoding on a canvas, cropping, hashes, and the eight symmetries of many grids at once.

Tokens: 0 padding, 1 the end mark, colour c is c + 2. A grid stands on a square canvas with end marks in the row under
it (as wide as the grid) and in the column right of it (as high), not at the corner, and none where the grid reaches
the edge. The published canvas is 30 x 30. Sources: HRM's and TRM's `build_arc_dataset.py`, TRM's `evaluators/arc.py`.

Shapes: N grids, S canvas, L = S * S cells in row-major order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError

COLOURS = 10
PUBLISHED_CANVAS = 30
"""The largest grid there is in ARC, and the canvas of HRM and TRM."""

PAD, END, FIRST_COLOUR = 0, 1, 2
VOCABULARY = COLOURS + FIRST_COLOUR

Grid = NDArray[np.uint8]
"""[rows, columns] colours 0-9."""

_ALLOWED = "a list of rows of one length, each a list of colours 0-9"


def canvas_of(length: int) -> int:
    """S of a sequence of L = S * S tokens.

    Raises:
        InputError: the length is no square.
    """
    side = math.isqrt(length)
    if side * side != length:
        raise InputError(f"sequences of {length} tokens", "a square number", "give whole canvases")
    return side


def read_grid(rows: Any, canvas: int = PUBLISHED_CANVAS) -> Grid:
    """The grid of a list of rows, as JSON holds it.

    Raises:
        InputError: no list of rows, empty, ragged, a colour over 9, or larger than the canvas; names the row.
    """
    if not isinstance(rows, list) or not rows:
        raise InputError(
            "a grid without rows" if rows == [] else f"{rows!r:.40}", _ALLOWED, "correct the grid"
        )
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or not row:
            what = "is empty" if row == [] else f"is {row!r:.40}"
            raise InputError(f"a grid whose row {number} {what}", _ALLOWED, "correct this row")
        if len(row) != len(rows[0]):
            raise InputError(
                f"a ragged grid: row {number} has {len(row)} cells, row 1 has {len(rows[0])}",
                _ALLOWED,
                "correct this row",
            )
        for column, cell in enumerate(row, start=1):
            if type(cell) is not int or not 0 <= cell < COLOURS:
                raise InputError(
                    f"a grid with {cell!r:.40} in row {number}, column {column}",
                    _ALLOWED,
                    "correct this cell",
                )
    if max(len(rows), len(rows[0])) > canvas:
        raise InputError(
            f"a grid of {len(rows)} x {len(rows[0])}",
            f"at most {canvas} x {canvas}",
            "leave this grid out" if canvas == PUBLISHED_CANVAS else "use a larger canvas",
        )
    return np.array(rows, dtype=np.uint8)


def encode(grid: Grid, canvas: int = PUBLISHED_CANVAS, row_offset: int = 0, column_offset: int = 0) -> Grid:
    """The sequence [L] of a grid that stands `row_offset` rows down and `column_offset` columns right."""
    rows, columns = grid.shape
    bottom, right = row_offset + rows, column_offset + columns
    assert max(bottom, right) <= canvas
    tokens = np.full((canvas, canvas), PAD, dtype=np.uint8)
    tokens[row_offset:bottom, column_offset:right] = grid + FIRST_COLOUR
    if bottom < canvas:
        tokens[bottom, column_offset:right] = END
    if right < canvas:
        tokens[row_offset:bottom, right] = END
    return tokens.reshape(-1)


def crop_sizes(tokens: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows [N] and columns [N] of the largest rectangle of colours at the top left corner of sequences [N, L].

    Rows are scanned downward while the usable width only shrinks; of equal areas the first counts. (0, 0) where the
    corner holds no colour.
    """
    count, length = tokens.shape
    side = canvas_of(length)
    other = ((tokens < FIRST_COLOUR) | (tokens >= VOCABULARY)).reshape(count, side, side)
    widths = np.where(other.any(2), other.argmax(2), side)
    widths = np.minimum.accumulate(widths, axis=1)
    areas = widths * np.arange(1, side + 1)
    best = areas.argmax(1)
    columns = widths[np.arange(count), best]
    return np.where(columns > 0, best + 1, 0), columns


def crop(tokens: NDArray[Any]) -> Grid:
    """The grid of one sequence [L]; its shape is (0, 0) where there is none."""
    rows, columns = (int(size[0]) for size in crop_sizes(tokens[None]))
    side = canvas_of(len(tokens))
    return (tokens.reshape(side, side)[:rows, :columns] - FIRST_COLOUR).astype(np.uint8)


def grid_key(rows: int, columns: int, cells: bytes) -> bytes:
    """What is equal for equal grids only: two bytes for the shape, then the cells."""
    return bytes((rows, columns)) + cells


def grid_hash(grid: Grid) -> str:
    """SHA-256 of the shape and the cells, as the official builder and evaluator take it."""
    rows, columns = grid.shape
    return hashlib.sha256(grid_key(rows, columns, np.ascontiguousarray(grid).tobytes())).hexdigest()


def puzzle_hash(pairs: Iterable[tuple[Grid, Grid]]) -> str:
    """SHA-256 of all pairs of a task, whatever their order, as the official builder takes it."""
    hashes = sorted(f"{grid_hash(question)}|{grid_hash(answer)}" for question, answer in pairs)
    return hashlib.sha256("|".join(hashes).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the grids of N canvases go: which symmetry, and how far down and right of the top left corner."""

    transforms: NDArray[np.integer]
    """[N] 0-7, see `dihedral`."""
    row_offsets: NDArray[np.integer]
    """[N] rows down."""
    column_offsets: NDArray[np.integer]
    """[N] columns right."""


# Cell (r, c) of transform t comes from row a + b r + d c, where b and d are -1, 0 or 1 and a is one less than the
# number of rows where the row is counted backwards; columns alike. See `dihedral` for the numbering.
_ROW_BY_ROW = np.array([1, 0, -1, 0, 1, -1, 0, 0])
_ROW_BY_COLUMN = np.array([0, 1, 0, -1, 0, 0, 1, -1])
_COLUMN_BY_ROW = np.array([0, -1, 0, 1, 0, 0, 1, -1])
_COLUMN_BY_COLUMN = np.array([1, 0, -1, 0, -1, 1, 0, 0])
SWAPS_SIDES = np.array([False, True, False, True, False, False, True, True])
"""[8] whether a transform exchanges rows and columns."""


def place(
    tokens: NDArray[Any],
    sizes: tuple[NDArray[np.integer], NDArray[np.integer]],
    placement: Placement,
    table: NDArray[Any],
    pad: int = PAD,
) -> NDArray[Any]:
    """Grids at the top left corner of canvases, transformed, recoloured and moved.

    Args:
        tokens: [N, L] sequences.
        sizes: rows [N] and columns [N] of each grid as it stands in `tokens`.
        placement: the symmetry and the offsets.
        table: [N, vocabulary] what each token of each grid becomes.
        pad: the value outside grid and end marks.

    Returns:
        [N, L] sequences of the dtype of `tokens`.
    """
    count, length = tokens.shape
    side = canvas_of(length)
    t = placement.transforms
    rows, columns = sizes
    new_rows = np.where(SWAPS_SIDES[t], columns, rows)[:, None]
    new_columns = np.where(SWAPS_SIDES[t], rows, columns)[:, None]
    row = np.arange(side) - placement.row_offsets[:, None]
    column = np.arange(side) - placement.column_offsets[:, None]
    row_inside, column_inside = (row >= 0) & (row < new_rows), (column >= 0) & (column < new_columns)

    # Source cell = start + row part + column part; outside the grid the parts are 0, so it stays in range.
    last_row = np.where((_ROW_BY_ROW[t] < 0) | (_ROW_BY_COLUMN[t] < 0), rows - 1, 0)
    last_column = np.where((_COLUMN_BY_ROW[t] < 0) | (_COLUMN_BY_COLUMN[t] < 0), columns - 1, 0)
    start = np.arange(count) * length + np.where(rows > 0, last_row * side + last_column, 0)
    by_row = (_ROW_BY_ROW[t] * side + _COLUMN_BY_ROW[t])[:, None] * np.where(row_inside, row, 0)
    by_column = (_ROW_BY_COLUMN[t] * side + _COLUMN_BY_COLUMN[t])[:, None] * np.where(
        column_inside, column, 0
    )
    source = (by_row + start[:, None])[:, :, None] + by_column[:, None, :]
    found = np.take(tokens.reshape(-1), source).astype(np.intp)

    # Each grid has a row of the table.
    width = table.shape[1]
    found += (np.arange(count) * width)[:, None, None]
    colours = np.take(table.astype(tokens.dtype).reshape(-1), found, mode="clip")
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    end = ((row == new_rows)[:, :, None] & column_inside[:, None, :]) | (
        row_inside[:, :, None] & (column == new_columns)[:, None, :]
    )
    outside = np.where(end, np.asarray(END, tokens.dtype), np.asarray(pad, tokens.dtype))
    return np.where(inside, colours, outside).reshape(count, length)
