"""When to stop and what to say of an answer, by a task's own judge. Imports no torch.

Shapes: L positions.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.puzzles.solution import Status
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltingConfig, HaltRule, HaltRuleName


def halt_rule(name: HaltRuleName, halting: HaltingConfig, task: Task) -> HaltRule:
    """The stopping rule of a model's settings for its task.

    Raises:
        InputError: to stop at a valid answer was asked of a task that cannot tell one.
    """
    if name == "valid" and not task.has_checker:
        raise InputError(
            f"--halt valid for task {task.name}, which has no checker", "q, never", "use --halt q"
        )
    return HaltRule.of(name, halting, task.check_batch)


def status_of(task: Task, question: NDArray[Any], answer: NDArray[Any]) -> Status:
    """What the task's checker says of an answer [L] to a question [L]."""
    if not task.has_checker:
        return "unverified"
    return "verified" if task.check_batch(question[None], answer[None])[0] else "unsolved"
