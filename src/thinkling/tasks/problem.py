"""Problems in words with an answer in words or figures: what a language model is asked and judged by.

Problem number i of a task is a function of (seed, i), so that a data set needs no file and training can resume.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from thinkling.errors import InputError, nearest

ProblemSplit = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A question, the reasoning that leads to its answer, and the answer."""

    task: str
    """Name of the task that judges answers; empty where answers are compared as text."""
    text: str
    """The question."""
    answer: str
    """A right answer; some tasks accept others too."""
    reasoning: str = ""
    """Worked steps, empty where there are none."""


class ProblemTask(Protocol):
    """A family of generated problems, and who judges an answer to one."""

    @property
    def name(self) -> str:
        """What it is called in files and on the command line."""
        ...

    def problem(self, rng: random.Random) -> Problem:
        """A problem drawn from a generator."""
        ...

    def judge(self, text: str, answer: str, given: str) -> bool:
        """Whether `given` answers the question `text`, whose known right answer is `answer`."""
        ...


def problem_tasks() -> dict[str, ProblemTask]:
    """Every task by its name."""
    from thinkling.tasks import arithmetic, comparison, countdown  # they import this module

    found: list[ProblemTask] = [*arithmetic.TASKS, *comparison.TASKS, *countdown.TASKS]
    return {task.name: task for task in found}


def problem_task(name: str) -> ProblemTask:
    """The task of this name.

    Raises:
        InputError: there is none.
    """
    known = problem_tasks()
    if name not in known:
        raise InputError(f"task {name!r}", ", ".join(known), nearest(name, known))
    return known[name]


def judged(task: str, text: str, answer: str, given: str) -> bool:
    """Whether an answer is right: by its task's judge, or without one as text up to white space and case."""
    if task:
        return problem_task(task).judge(text, answer, given)
    return " ".join(given.split()).casefold() == " ".join(answer.split()).casefold()


def problems(
    names: Sequence[str], seed: int, start: int, count: int, split: ProblemSplit = "train"
) -> Iterator[Problem]:
    """Problems `start`, `start + 1`, … of a mixture of tasks, every task equally likely.

    Which split a question belongs to is decided by its text, so that no question is in two, whatever the seeds.

    Raises:
        InputError: an unknown task, or none.
    """
    if not names:
        raise InputError("no task", ", ".join(problem_tasks()), "name at least one")
    tasks = [problem_task(name) for name in names]
    for number in range(start, start + count):
        rng = random.Random(f"{seed}:{number}")
        task = rng.choice(tasks)
        problem = task.problem(rng)
        while split_of(problem.text) != split:
            problem = task.problem(rng)
        yield problem


def split_of(text: str) -> ProblemSplit:
    """One question in twenty is for testing, one for validation."""
    share = hashlib.blake2b(text.encode(), digest_size=8).digest()[0] % 20
    return "test" if share == 0 else "validation" if share == 1 else "train"
