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

from thinkling.data.batch import IGNORE_LABEL
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.calibration import Calibration, calibrate
from thinkling.puzzles.chain_pool import think
from thinkling.puzzles.deadline import Deadline, OutOfTimeError
from thinkling.puzzles.evaluate import Score, Tally
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.puzzle_model import PuzzleModel
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


class _Count:
    """What one selection has counted so far."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.by: Counter[str] = Counter()
        self.q_halt: list[float] = []
        self.right: list[bool] = []
        self.steps: list[int] = []


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
    counts = {select: _Count(Tally(task, max_steps)) for select in selects}
    segments = answered = 0
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
            scored = labels[0] != IGNORE_LABEL
            segments += chains.segments
            answered += 1
            rows.append(row)
            for select, count in counts.items():
                place = chains.chosen(select)
                answer = Answer(
                    index=row,
                    tokens=chains.answers[place],
                    steps=int(chains.steps[place]),
                    q_halt=float(chains.q_halt[place]),
                    halted=bool(chains.halted[place]),
                )
                count.tally.add(chains.question, labels[0], answer)
                count.q_halt.append(answer.q_halt)
                count.steps.append(answer.steps)
                count.right.append(bool((answer.tokens == labels[0])[scored].all()))
                count.by[chains.solved_by(place) or "nobody"] += 1
    seconds = time.perf_counter() - start
    ratings = None if examples.puzzles.ratings is None else examples.puzzles.ratings[rows].tolist()
    share = 1 / max(answered, 1)
    return [
        BreadthScore(
            select=select,
            score=count.tally.score(seconds),
            mean_segments=segments * share,
            solved_by=(
                {name: count.by[name] * share for name in ("network", "breadth", "nobody")}
                if task.has_checker
                else None
            ),
            calibration=calibrate(count.q_halt, count.right, count.steps, ratings),
        )
        for select, count in counts.items()
    ]
