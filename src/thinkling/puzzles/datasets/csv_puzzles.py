"""Puzzles of any task from a CSV file with the columns `question` and `answer`.

Shapes: N examples, L cells.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinkling.data.csv_tables import PuzzleRow, read_rows
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.tasks.task import Task

_CHECKED_TOGETHER = 2048


def _encode_row(path: Path, task: Task, row: PuzzleRow) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        return task.parse(row.question), task.encode_answer(row.answer or "")
    except InputError as error:
        raise InputError(f"{path} line {row.line}: {error.given}", error.allowed, error.next_step) from None


def read_table(
    path: Path, task_of_question: Callable[[str], Task], *, question: str = "question", answer: str = "answer"
) -> tuple[Task, PuzzleSet, NDArray[np.int64]]:
    """All rows of a CSV file, answers checked where the task can.

    Args:
        path: the file.
        task_of_question: tells the task from the first question.
        question: the column with the questions.
        answer: the column with the answers.

    Returns:
        the task, the examples (a rating of -1 where the file gives none), and the line [N] of each.

    Raises:
        InputError: a malformed row or an answer that does not solve its question; names the line.
    """
    inputs, labels = bytearray(), bytearray()  # tables may have millions of rows: no object for each
    ratings, lines = array("i"), array("q")
    task: Task | None = None
    dtype = np.dtype(np.uint8)
    with closing(read_rows(path, question=question, answer=answer)) as rows:
        for row in rows:
            task = task or task_of_question(row.question)
            asked, answered = _encode_row(path, task, row)
            inputs += asked.tobytes()
            labels += answered.tobytes()
            dtype = asked.dtype
            ratings.append(-1 if row.rating is None else row.rating)
            lines.append(row.line)
    if task is None or not inputs:
        raise InputError(f"{path}: no row below the header", "one puzzle a line", "add puzzles")
    examples = PuzzleSet.of_puzzles(
        np.frombuffer(inputs, dtype=dtype).reshape(-1, task.seq_len),
        np.frombuffer(labels, dtype=dtype).reshape(-1, task.seq_len),
        vocab_size=task.vocab_size,
        ratings=np.array(ratings, dtype=np.int32),
    )
    for low in range(0, len(examples) if task.has_checker else 0, _CHECKED_TOGETHER):
        part = slice(low, low + _CHECKED_TOGETHER)
        right = task.check_batch(examples.inputs[part], examples.labels[part])
        if not right.all():
            bad = low + int((~right).argmax())
            raise InputError(
                f"{path} line {lines[bad]}: {task.why_wrong(examples.inputs[bad], examples.labels[bad])}",
                "a question and its answer",
                "correct or remove this line",
            )
    return task, examples, np.array(lines, dtype=np.int64)


def read_puzzle_csv(
    path: Path, task: Task, *, question: str = "question", answer: str = "answer"
) -> PuzzleSet:
    """The puzzles of a CSV file, for scoring a model; the columns have the names given.

    Raises:
        InputError: a malformed row or an answer that does not solve its question; names the line.
    """
    _, examples, _ = read_table(Path(path), lambda _: task, question=question, answer=answer)
    known = examples.ratings is not None and bool((np.asarray(examples.ratings) >= 0).all())
    return PuzzleSet.of_puzzles(
        examples.inputs,
        examples.labels,
        vocab_size=task.vocab_size,
        ratings=examples.ratings if known else None,
    )
