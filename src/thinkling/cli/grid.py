"""A grid in the terminal: the given symbols bold, the model's in colour, changed ones marked.

A maze is drawn with its walls as full blocks and the path in colour.

Shapes: L cells of a grid with rows and columns.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape

from thinkling.tasks.task import Task

_MAZE_CELLS = {"#": "\u2588\u2588", " ": "  ", "S": "S ", "G": "G ", "o": "o "}

# The colours of the ARC benchmark's own pages, 0 to 9.
_ARC_STYLES = (
    "white on #000000",
    "white on #0074d9",
    "white on #ff4136",
    "white on #2ecc40",
    "black on #ffdc00",
    "black on #aaaaaa",
    "white on #f012be",
    "white on #ff851b",
    "black on #7fdbff",
    "white on #870c25",
)


def draw_grid(
    task: Task, question: NDArray[Any], answer: NDArray[Any], changed: NDArray[np.bool_] | None = None
) -> str:
    """Rich markup of an answer [L] to a question [L]: given cells bold, the others cyan, changed ones reversed."""
    if task.name == "maze":
        return _draw_maze(task, question, answer, changed)
    if task.name == "table":
        return _draw_table(task, question, answer)
    if task.name == "arc":
        return _draw_arc(task, answer)
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


def _draw_table(task: Task, question: NDArray[Any], answer: NDArray[Any]) -> str:
    """Question and answer as text, in rows where the table has a shape."""
    rows, columns = task.shape
    asked, said = (
        text if rows == 1 else "\n".join(text[low : low + columns] for low in range(0, len(text), columns))
        for text in (task.format(question), task.format(answer))
    )
    return f"[bold]{escape(asked)}[/bold]\n[cyan]{escape(said)}[/cyan]"


def _draw_arc(task: Task, answer: NDArray[Any]) -> str:
    """The answer's grid, each cell in its colour."""
    return "\n".join(
        "".join(f"[{_ARC_STYLES[colour]}]{colour} [/]" for colour in row)
        for row in json.loads(task.format(answer))
    )


def _draw_maze(
    task: Task, question: NDArray[Any], answer: NDArray[Any], changed: NDArray[np.bool_] | None
) -> str:
    """Walls grey, the path cyan, changed cells reversed; red where the answer is not the given wall, S, G or blank."""
    rows, columns = task.shape
    given, said = task.format(question), task.format(answer)
    edge = "\u2500" * (2 * columns)
    lines = [f"\u250c{edge}\u2510"]
    for row in range(rows):
        cells = []
        for cell in range(row * columns, (row + 1) * columns):
            symbol = said[cell]
            if symbol != given[cell] and (given[cell], symbol) != (" ", "o"):
                style = "red"
            else:
                style = {"#": "bright_black", "o": "cyan"}.get(symbol, "bold")
            if changed is not None and changed[cell]:
                style = f"reverse {style}"
            cells.append(f"[{style}]{_MAZE_CELLS.get(symbol, '??')}[/{style}]")
        lines.append("\u2502" + "".join(cells) + "\u2502")
    lines.append(f"\u2514{edge}\u2518")
    return "\n".join(lines)
