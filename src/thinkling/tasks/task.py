"""What a task is: it owns its examples' encoding, its symmetries and its judge.

Shapes: N examples, L positions, K uniform numbers.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.views import Views


class Task(Protocol):
    """One kind of question. Everything here is numpy; no model and no tensor library is involved."""

    @property
    def name(self) -> str:
        """The task's name in the registry."""
        ...

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, padding (0) included."""
        ...

    @property
    def seq_len(self) -> int:
        """L: positions of a question and of its answer."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid a sequence shows."""
        ...

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of the blocks that a picture sets apart; the whole grid where there are none."""
        ...

    @property
    def augment_numbers(self) -> int:
        """K: how many uniform numbers choose one symmetric copy."""
        ...

    @property
    def view_numbers(self) -> int:
        """How many uniform numbers choose one view; 0 where a question has no view but itself."""
        ...

    @property
    def has_checker(self) -> bool:
        """Whether `check` can tell a right answer without knowing it."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `tasks.registry.get_task` needs to build this task again; JSON values only."""
        ...

    def parse(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a question; InputError naming the cell and character where it is malformed."""
        ...

    def encode_answer(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a complete answer; InputError as for `parse`."""
        ...

    def format(self, tokens: NDArray[Any]) -> str:
        """The text of tokens [L] of a question or an answer."""
        ...

    def validate(self, tokens: NDArray[Any]) -> None:
        """InputError where a question [L] breaks the task's rules or has no, or more than one, answer."""
        ...

    def puzzle_id(self, name: str) -> int:
        """The puzzle id that a name stands for; 0, the blank one, for no name. InputError where it is unknown."""
        ...

    def augment(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        puzzle_ids: NDArray[Any],
        uniforms: NDArray[np.float64],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A symmetric copy of each example [N, L] and its puzzle id [N], chosen by the uniform numbers [N, K]."""
        ...

    def views(self, inputs: NDArray[Any], puzzle_ids: NDArray[Any], uniforms: NDArray[np.float64]) -> Views:
        """Symmetric copies of one question with the way back for their answers; number 0 is the question itself.

        Args:
            inputs: [N, L] the question's tokens, N times.
            puzzle_ids: [N] its puzzle id.
            uniforms: [N, `view_numbers`] numbers in [0, 1) that choose the views.
        """
        ...

    def check(self, question: str, answer: str) -> bool:
        """Whether a text answers a question. Needs no label."""
        ...

    def check_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each row of `answers` [N, L] answers its question [N, L]. [N]; all False without a checker."""
        ...

    def why_wrong(self, question: NDArray[Any], answer: NDArray[Any]) -> str:
        """What is wrong with an answer [L] that `check_batch` refuses."""
        ...

    def judge_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """Verdicts on answers [N, L] by name, [N] each: "valid" wherever there is a checker, and finer ones."""
        ...

    def rate(self, tokens: NDArray[Any]) -> int:
        """How hard a question [L] is; the task says in which unit."""
        ...


def only_blank_id(task: str, name: str) -> int:
    """`Task.puzzle_id` of a task whose puzzles have no names: 0, the blank one.

    Raises:
        InputError: a name was given.
    """
    if name:
        raise InputError(
            f"puzzle {name!r} of task {task}", "no name: its puzzles have none", "leave the name out"
        )
    return 0
