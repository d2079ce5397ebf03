"""Whether marked cells of a grid can be walked in one go, each once, where the path may touch itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOST_STEPS = 20_000


def can_be_walked(marked: NDArray[np.bool_], start: int, goal: int) -> bool:
    """Whether some walk from start to goal enters every marked cell exactly once.

    A drawing so tangled that a search of 20,000 steps finds no such walk counts as none.

    Args:
        marked: [R, C] the cells to walk, start and goal among them.
        start: first cell, counted row by row.
        goal: last cell.
    """
    columns = marked.shape[1]
    cells = np.flatnonzero(marked).tolist()
    present = set(cells)
    near = {
        cell: [
            other
            for other, reachable in (
                (cell - columns, True),
                (cell + columns, True),
                (cell - 1, cell % columns > 0),
                (cell + 1, cell % columns < columns - 1),
            )
            if reachable and other in present
        ]
        for cell in cells
    }
    if any(len(near[cell]) < (1 if cell in (start, goal) else 2) for cell in cells):
        return False
    # Every step changes the colour of the chessboard, so the colours must balance.
    colours = [(cell // columns + cell % columns) % 2 for cell in cells]
    ends = [(cell // columns + cell % columns) % 2 for cell in (start, goal)]
    surplus = 2 * sum(colours) - len(colours)
    if surplus != (0 if ends[0] != ends[1] else 2 * ends[0] - 1):
        return False
    return _search(near, start, goal)


def _search(near: dict[int, list[int]], start: int, goal: int) -> bool:
    """Depth first: a cell left with a single way in must be next, and two such cells end the try."""
    left = {cell: len(others) for cell, others in near.items()}
    walked = {start}
    for other in near[start]:
        left[other] -= 1
    trail: list[tuple[int, list[int]]] = [(start, _choices(near, left, walked, start, goal))]
    for _ in range(_MOST_STEPS):
        if not trail:
            return False
        here, choices = trail[-1]
        if here == goal and len(walked) == len(near):
            return True
        if choices:
            following = choices.pop()
            walked.add(following)
            for other in near[following]:
                left[other] -= 1
            trail.append((following, _choices(near, left, walked, following, goal)))
        else:
            trail.pop()
            walked.discard(here)
            for other in near[here]:
                left[other] += 1
    return False


def _choices(
    near: dict[int, list[int]], left: dict[int, int], walked: set[int], here: int, goal: int
) -> list[int]:
    """Where to go from here: `left` counts the cells not yet walked beside each cell."""
    if here == goal:
        return []
    open_ = [cell for cell in near[here] if cell not in walked]
    if len(walked) < len(near) - 1:
        open_ = [cell for cell in open_ if cell != goal]
    # Left behind, a cell with one open neighbour is a dead end unless it is the goal.
    forced = [cell for cell in open_ if left[cell] <= 1 and cell != goal]
    if len(forced) > 1:
        return []
    return forced or open_
