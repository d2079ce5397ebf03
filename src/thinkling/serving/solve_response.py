"""What a client gets from `/v1/solve`: one object, or events as the model thinks.

Shapes: L positions, T segments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkling.serving.solve_jobs import Segment, Solved
from thinkling.tasks.task import Task
from thinkling.thinking.trace import SegmentTrace
from thinkling.thinking.trajectory import project

_PLACES = 4
"""Decimal places of confidences and points."""


def segment_event(task: Task, segment: Segment) -> dict[str, Any]:
    """What is told while the model thinks: `index` of the question, and its leading chain after a segment."""
    return {"index": segment.index, **segment_json(task, segment.step, segment.trace)}


def segment_json(task: Task, step: int, trace: SegmentTrace) -> dict[str, Any]:
    """One segment: `step` (from 1), `answer`, `confidence` [L], `q_halt`, `q_continue`, `residual`."""
    return {
        "step": step,
        "answer": task.format(trace.tokens),
        "confidence": np.round(trace.confidence.astype(np.float64), _PLACES).tolist(),
        "q_halt": trace.q_halt,
        "q_continue": trace.q_continue,
        "residual": trace.residual,
    }


def result_json(task: Task, solved: Solved, *, trace: bool, points: bool) -> dict[str, Any]:
    """What came out for one question: what `thinkling solve --json` says, with `question` and `limit`.

    Args:
        task: of the model.
        solved: by the service.
        trace: with every segment of the chain that answers.
        points: with the way of its high-level state in the two directions in which it moved most, [T, 2].
    """
    solution = solved.solution
    values: dict[str, Any] = {
        "question": solution.question,
        **solution.as_json(),
        "limit": solved.limit,
    }
    if trace:
        values["trace"] = [segment_json(task, step, each) for step, each in enumerate(solution.trace, 1)]
    if points:
        states = [each.z_H for each in solution.trace if each.z_H is not None]
        values["points"] = np.round(project(np.array(states)), _PLACES).tolist()
    return values
