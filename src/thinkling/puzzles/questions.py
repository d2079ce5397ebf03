"""Questions of a CSV file, read as they are needed.

Shapes: L positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinkling.data.csv_tables import read_rows
from thinkling.errors import InputError
from thinkling.tasks.task import Task


def read_questions(path: Path, task: Task, column: str = "question") -> Iterator[NDArray[np.uint8]]:
    """Encoded questions [L] in the order of the file.

    Args:
        path: a CSV file with a header.
        task: how its questions are written.
        column: where they are.

    Raises:
        InputError: naming the line whose question is malformed or breaks the task's rules.
    """
    with closing(read_rows(path, ["question"], question=column)) as rows:
        for row in rows:
            try:
                tokens = task.parse(row.question)
                task.validate(tokens)
            except InputError as error:
                raise error.at(f"{path} line {row.line}") from None
            yield tokens
