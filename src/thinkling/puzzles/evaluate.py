"""Scoring a model on examples, with halting as it is used.

Shapes: N examples, L positions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from thinkling.data.batch import IGNORE_LABEL
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.trm import TRM
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.slots import SlotMachine

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
    valid_rate: float
    """Share of answers that the task's checker accepts, label unseen."""
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


def evaluate(
    model: HRM | TRM, examples: Examples, rule: HaltRule, *, max_steps: int, slots: int = DEFAULT_SLOTS
) -> Score:
    """Answer every example and compare; the answers are not kept."""
    machine = SlotMachine(model, rule, max_steps=max_steps, slots=slots)
    exact = valid = confident_wrong = 0
    cells = 0.0
    steps = np.zeros(max_steps + 1, dtype=np.int64)
    start = time.perf_counter()
    with weights_cast_once(model, model.compute_dtype):
        for answer in machine.answers(examples.questions(), ordered=False):
            question, labels, _ = examples.puzzles.examples(slice(answer.index, answer.index + 1))
            right = (answer.tokens == labels)[labels != IGNORE_LABEL]
            all_right = bool(right.all())
            exact += all_right
            cells += float(right.mean()) if len(right) else 1.0
            valid += int(examples.task.check_batch(question, answer.tokens[None])[0])
            confident_wrong += not all_right and answer.q_halt >= CONFIDENT
            steps[answer.steps] += 1
    seconds = time.perf_counter() - start
    n = int(steps.sum())
    share = 1 / max(n, 1)
    return Score(
        n=n,
        exact_accuracy=exact * share,
        cell_accuracy=cells * share,
        valid_rate=valid * share,
        mean_steps=float((steps * np.arange(max_steps + 1)).sum() * share),
        p95_steps=float(np.searchsorted(np.cumsum(steps), 0.95 * n)),
        wrong_but_confident=confident_wrong * share,
        seconds=seconds,
        examples_per_second=n / seconds,
    )
