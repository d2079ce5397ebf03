"""A grid in the terminal: the given symbols bold, the model's in colour, changed ones marked.

Shapes: L cells of a grid with rows and columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.task import Task


def draw_grid(
    task: Task, question: NDArray[Any], answer: NDArray[Any], changed: NDArray[np.bool_] | None = None
) -> str:
    """Rich markup of an answer [L] to a question [L]: given cells bold, the others cyan, changed ones reversed."""
    rows, columns = task.shape
    high, wide = task.block
    blank = task.format(question)
    symbols = task.format(answer)
    rule = "+".join(["-" * (2 * wide + 1)] * (columns // wide))
    lines = []
    for row in range(rows):
        if row and row % high == 0:
            lines.append(rule)
        cells = []
        for column in range(columns):
            cell = row * columns + column
            given = blank[cell] != "."
            style = "bold" if given else "reverse cyan" if changed is not None and changed[cell] else "cyan"
            cells.append(
                (" | " if column and column % wide == 0 else " ") + f"[{style}]{symbols[cell]}[/{style}]"
            )
        lines.append("".join(cells))
    return "\n".join(lines)
