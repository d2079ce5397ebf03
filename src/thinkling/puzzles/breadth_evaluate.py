"""Scoring depth and breadth: one run of the chains, scored by several selections.

Shapes: N examples, K chains of a question, L positions.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.batch import IGNORE_LABEL
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.breadth import Chains, Thinking
from thinkling.puzzles.calibration import Calibration, calibrate
from thinkling.puzzles.chain_pool import think
from thinkling.puzzles.deadline import Deadline, OutOfTimeError
from thinkling.puzzles.evaluate import Score, Tally
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.selection import Select
from thinkling.thinking.slots import Answer


@dataclass(frozen=True, kw_only=True)
class BreadthScore:
    """What one selection makes of the chains."""

    select: Select
    """How the chain was chosen."""
    score: Score
    """Of the chosen answers; its steps are those of the chosen chain."""
    mean_segments: float
    """Segments of all chains of a question, on average: what the answer cost."""
    solved_by: dict[str, float] | None
    """Shares of examples with a valid answer from the network alone (chain 0 has one) and from breadth (only another
    chain has), and of those without; None where the task has no checker."""
    calibration: Calibration
    """Of the chosen chain's halt probability."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys, what the answers cost, and whose they are."""
        return self.score.as_json() | {
            "select": self.select,
            "mean_segments": self.mean_segments,
            "solved_by": self.solved_by,
            "calibration_error": self.calibration.expected_error,
        }


class _Selected:
    """What one selection has made of the chains so far."""

    def __init__(self, select: Select, task: Task, max_steps: int) -> None:
        self._select, self._checked = select, task.has_checker
        self._tally = Tally(task, max_steps)
        self._by: Counter[str] = Counter()
        self._q_halt: list[float] = []
        self._right: list[bool] = []
        self._steps: list[int] = []
        self._segments = 0

    def add(self, row: int, chains: Chains, labels: NDArray[np.integer]) -> None:
        """Count the chosen one of the chains of a question with labels [L]."""
        place = chains.chosen(self._select)
        answer = Answer(
            index=row,
            tokens=chains.answers[place],
            steps=int(chains.steps[place]),
            q_halt=float(chains.q_halt[place]),
            halted=bool(chains.halted[place]),
        )
        self._tally.add(chains.question, labels, answer)
        self._q_halt.append(answer.q_halt)
        self._steps.append(answer.steps)
        self._right.append(bool((answer.tokens == labels)[labels != IGNORE_LABEL].all()))
        self._by[chains.solved_by(place) or "nobody"] += 1
        self._segments += chains.segments

    def score(self, seconds: float, ratings: Sequence[int] | None) -> BreadthScore:
        """Of all that was added; [N] ratings of the questions, where they have some."""
        share = 1 / max(len(self._steps), 1)
        by = {name: self._by[name] * share for name in ("network", "breadth", "nobody")}
        return BreadthScore(
            select=self._select,
            score=self._tally.score(seconds),
            mean_segments=self._segments * share,
            solved_by=by if self._checked else None,
            calibration=calibrate(self._q_halt, self._right, self._steps, ratings),
        )


def evaluate_thinking(
    model: PuzzleModel,
    examples: Examples,
    thinking: Thinking,
    rule: HaltRule,
    *,
    selects: Sequence[Select],
    slots: int,
    deadline: Deadline | None = None,
) -> list[BreadthScore]:
    """Answer every example once, with all its chains, and score the answers by each selection.

    With a deadline, what is answered when the end comes is scored.

    Args:
        model: what answers.
        examples: with their labels.
        thinking: how; its `select` is not used.
        rule: what stops a question.
        selects: the selections to score.
        slots: chains in work at the same time.
        deadline: when to end.

    Raises:
        InputError: the task or the slots do not allow it.
    """
    task, network = model.task, model.network
    max_steps = thinking.steps_or(model.halting.max_steps)
    for select in selects:
        Thinking(select=select).check_task(task)
    selected = [_Selected(select, task, max_steps) for select in selects]
    rows: list[int] = []
    start = time.perf_counter()
    with weights_cast_once(network, network.compute_dtype), contextlib.suppress(OutOfTimeError):
        for row, question in think(
            network,
            task,
            examples.questions(),
            thinking,
            rule,
            max_steps=max_steps,
            slots=slots,
            thinker=network if deadline is None else deadline.guard(network),
            ordered=False,
        ):
            chains = question.chains()
            _, labels, _ = examples.puzzles.examples(slice(row, row + 1))
            rows.append(row)
            for each in selected:
                each.add(row, chains, labels[0])
    seconds = time.perf_counter() - start
    ratings = None if examples.puzzles.ratings is None else examples.puzzles.ratings[rows].tolist()
    return [each.score(seconds, ratings) for each in selected]
