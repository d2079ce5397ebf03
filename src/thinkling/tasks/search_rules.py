"""What a search needs to know of a task: which answers its rules still allow, cell by cell.

A state stands for the set of answers that agree with a question and with what was decided so far, as far as the rules
at hand can tell: they may leave an answer too many, never one too few. So an empty state is a proof, and a state with
one candidate in every cell is an answer. States are values: `fix` and `forbid` return new ones.

Shapes: L positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.maze import Maze
from thinkling.tasks.maze_rules import MazeRules
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_rules import SudokuRules
from thinkling.tasks.task import Task

S = TypeVar("S")


class SearchRules(Protocol[S]):
    """The rules of one task."""

    def start(self, question: NDArray[Any]) -> S | None:
        """All answers to a question [L]; None where the rules show that there is none."""
        ...

    def fix(self, state: S, cell: int, token: int) -> S | None:
        """The answers with `token` in `cell`; None where the rules show that there is none."""
        ...

    def forbid(self, state: S, cell: int, token: int) -> S | None:
        """The answers without `token` in `cell`; None where the rules show that there is none."""
        ...

    def candidates(self, state: S) -> NDArray[np.bool_]:
        """Which tokens are possible in which cell: [L, V], at least one a cell."""
        ...

    def shown(self, question: NDArray[Any], state: S) -> NDArray[np.int64]:
        """The question [L] with what the state knows written into it, as a model knows questions."""
        ...

    def read(self, question: NDArray[Any], state: S, answer: NDArray[Any]) -> NDArray[np.int64]:
        """An answer [L] to what is `shown` of a state, as an answer to the question [L] itself."""
        ...


def rules_of(task: Task) -> SearchRules[Any] | None:
    """The rules of a task; None where nothing is known of it but its checker, or not even that."""
    if isinstance(task, Sudoku):
        return SudokuRules(task.size)
    if isinstance(task, Maze):
        return MazeRules(task)
    return None


def rules_needed(task: Task) -> SearchRules[Any]:
    """The rules of a task that is to be searched.

    Raises:
        InputError: it has none.
    """
    rules = rules_of(task)
    if rules is None:
        raise InputError(
            f"a search on task {task.name}, whose rules are not known",
            "a model of maze or sudoku",
            "leave --search out, or try more --samples",
        )
    return rules
