"""Scoring a model on examples, with halting as it is used.

Shapes: N examples, L positions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.batch import IGNORE_LABEL, PuzzleBatch
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.deadline import Deadline, OutOfTimeError
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.trm import TRM
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.slots import Answer, SlotMachine

DEFAULT_SLOTS = 64
"""Questions in work at once."""

CONFIDENT = 0.5
"""A wrong answer counts as confident where the model gives at least this probability of being right."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """The contract's keys of `thinkling eval`."""

    n: int
    """Examples."""
    exact_accuracy: float
    """Share with every scored cell right."""
    cell_accuracy: float
    """Share of scored cells right, averaged over examples."""
    valid_rate: float | None
    """Share of answers that keep the task's rules, label unseen; None where the task has no checker."""
    mean_steps: float
    """Segments spent, on average."""
    p95_steps: float
    """95th percentile of the segments spent."""
    wrong_but_confident: float
    """Share of examples answered wrongly at a halt probability of one half or more."""
    seconds: float
    """Wall-clock time."""
    examples_per_second: float
    """Examples / seconds."""
    rates: dict[str, float] = field(default_factory=dict)
    """Shares of finer verdicts of the task's checker: for a maze "optimal"."""

    def as_json(self) -> dict[str, Any]:
        """All of it flat; the finer verdicts as `<name>_rate`."""
        values = dataclasses.asdict(self)
        return values | {f"{name}_rate": rate for name, rate in values.pop("rates").items()}


class Tally:
    """Counts answers as they come.

    Args:
        task: whose checker, where it has one, judges the answers.
        max_steps: the limit of segments.
    """

    def __init__(self, task: Task, max_steps: int) -> None:
        self._task = task
        self._steps = np.zeros(max_steps + 1, dtype=np.int64)
        self._exact = self._confident_wrong = 0
        self._cells = 0.0
        self._verdicts: Counter[str] = Counter()

    def add(self, question: NDArray[Any], labels: NDArray[Any], answer: Answer) -> None:
        """One answer to a question [L] with labels [L], of which IGNORE_LABEL are not scored."""
        right = (answer.tokens == labels)[labels != IGNORE_LABEL]
        all_right = bool(right.all())
        self._exact += all_right
        self._cells += float(right.mean()) if len(right) else 1.0
        judged = self._task.judge_batch(question[None], answer.tokens[None])
        self._verdicts.update({name: int(verdict[0]) for name, verdict in judged.items()})
        self._confident_wrong += not all_right and answer.q_halt >= CONFIDENT
        self._steps[answer.steps] += 1

    def score(self, seconds: float) -> Score:
        """The shares of what was counted in so many seconds."""
        n = int(self._steps.sum())
        share = 1 / max(n, 1)
        rates = {name: count * share for name, count in self._verdicts.items()}
        return Score(
            n=n,
            exact_accuracy=self._exact * share,
            cell_accuracy=self._cells * share,
            valid_rate=rates.pop("valid", None),
            mean_steps=float((self._steps * np.arange(len(self._steps))).sum() * share),
            p95_steps=float(np.searchsorted(np.cumsum(self._steps), 0.95 * n)),
            wrong_but_confident=self._confident_wrong * share,
            seconds=seconds,
            examples_per_second=n / max(seconds, 1e-9),
            rates=rates,
        )


def evaluate(
    model: HRM | TRM,
    examples: Examples,
    rule: HaltRule,
    *,
    max_steps: int,
    slots: int = DEFAULT_SLOTS,
    deadline: Deadline | None = None,
) -> Score:
    """Answer every example and compare; the answers are not kept.

    With a deadline, what is answered when the end comes is scored.
    """
    thinker = model if deadline is None else deadline.guard(model)
    machine = SlotMachine(thinker, PuzzleBatch.of_questions, rule, max_steps=max_steps, slots=slots)
    tally = Tally(examples.task, max_steps)
    start = time.perf_counter()
    with weights_cast_once(model, model.compute_dtype), contextlib.suppress(OutOfTimeError):
        for answer in machine.answers(examples.questions(), ordered=False):
            question, labels, _ = examples.puzzles.examples(slice(answer.index, answer.index + 1))
            tally.add(question[0], labels[0], answer)
    return tally.score(time.perf_counter() - start)
