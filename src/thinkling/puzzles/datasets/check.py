"""Checks of a data set: files, answers, uniqueness, duplicates, and overlap of training and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thinkling.data.array_store import Dataset, read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.datasets.check_arc import check_arc
from thinkling.puzzles.datasets.check_maze import check_maze
from thinkling.puzzles.datasets.check_sudoku import check_sudoku
from thinkling.puzzles.datasets.check_table import check_table
from thinkling.tasks.arc import Arc
from thinkling.tasks.maze import Maze
from thinkling.tasks.registry import get_task
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.tasks.task import Task


def task_of(data: Dataset, directory: Path) -> Task:
    """The task of a data set.

    Raises:
        InputError: the folder does not say, or its arrays do not fit the task.
    """
    if data.task_settings is None:
        raise InputError(
            f"{directory}: a data set of an unknown task",
            "one of a task this program knows",
            "import it again",
        )
    task = get_task(data.task_settings, data.identifiers)
    for split, examples in (("train", data.train), ("test", data.test)):
        sizes = (examples.metadata.vocab_size, examples.metadata.seq_len)
        if sizes != (task.vocab_size, task.seq_len):
            raise InputError(
                f"{directory}/{split}/dataset.json: {sizes[0]} tokens and length {sizes[1]}",
                f"{task.vocab_size} and {task.seq_len}, as task {data.task_settings} has",
                "make or import the data set again",
            )
    return task


def check_dataset(directory: Path, *, processes: int = 1) -> dict[str, Any]:
    """Checks a data set.

    A group of symmetric copies (the official builders write such) counts as one puzzle.

    Args:
        directory: the folder.
        processes: how many processes prove uniqueness.

    Returns:
        `train` and `test` (examples), `duplicates` (puzzles equal up to the task's symmetries to an earlier one
        of the same split), `overlap` (test puzzles of which training knows), `faults` (all of these and every
        other fault, each naming file and row). The data set is sound where `faults` is empty.

    Raises:
        InputError: no data set, a damaged file, or a task without this check.
    """
    data = read_dataset(directory, verify=True)
    task = task_of(data, directory)
    if isinstance(task, Sudoku):
        return check_sudoku(task, data, processes=processes)
    if isinstance(task, Arc):
        return check_arc(task, data)
    if isinstance(task, Maze):
        return check_maze(task, data)
    if isinstance(task, Table):
        return check_table(task, data)
    raise InputError(
        f"{directory}: a data set of task {task.name}", "a Sudoku data set", "check another folder"
    )
