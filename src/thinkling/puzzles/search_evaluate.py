"""Scoring a search: who has solved how many, never mixed.

Shapes: N examples, L positions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.deadline import Deadline, OutOfTimeError
from thinkling.puzzles.evaluate import DEFAULT_SLOTS
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.search import SearchedSolution, search
from thinkling.puzzles.search_tree import DEFAULT_BUDGET


@dataclass(frozen=True, kw_only=True)
class SearchScore:
    """What `thinkling eval --search` adds to the score of the model alone. The four shares add up to 1."""

    n: int
    """Questions."""
    network: float
    """Share that the model answered rightly by itself, one chain within the limit of segments."""
    breadth: float
    """Share that further chains added."""
    search: float
    """Share that only the search has solved."""
    unsolved: float
    """Share without a verified answer."""
    no_answer: float
    """Share proven to have no answer; part of the unsolved ones."""
    budget: int
    """Segments that a question was allowed."""
    mean_segments: float
    """Segments spent on a question, all its nodes together."""
    p95_segments: float
    """95th percentile of them."""
    most_segments: int
    """The largest of them."""
    mean_nodes: float
    """Questions put to the model for one question."""
    seconds: float
    """Wall-clock time."""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return dataclasses.asdict(self)


def evaluate_search(
    model: PuzzleModel,
    examples: Examples,
    thinking: Thinking,
    *,
    budget: int = DEFAULT_BUDGET,
    slots: int = DEFAULT_SLOTS,
    deadline: Deadline | None = None,
) -> SearchScore:
    """Search for an answer to every example; the labels are not looked at, the task's checker judges.

    With a deadline, what is answered when the end comes is scored.

    Args:
        model: of a task whose rules are known.
        examples: their questions.
        thinking: how the questions themselves are thought about.
        budget: segments that a question may cost.
        slots: chains and nodes in work at the same time.
        deadline: when to end.

    Raises:
        InputError: the task's rules are not known, or a limit is below 1.
    """
    found = search(
        model,
        (question.inputs for question in examples.questions()),
        thinking=thinking,
        budget=budget,
        slots=slots,
        thinker=None if deadline is None else deadline.guard(model.network),
    )
    return score_search(_in_time(found), budget)


def _in_time(solutions: Iterator[SearchedSolution]) -> Iterator[SearchedSolution]:
    with contextlib.suppress(OutOfTimeError):
        yield from solutions


def score_search(solutions: Iterable[SearchedSolution], budget: int) -> SearchScore:
    """Count what comes out of a search with a budget; the solutions are not kept."""
    start = time.perf_counter()
    solvers: Counter[str] = Counter()
    segments: list[int] = []
    nodes = unanswerable = 0
    for solution in solutions:
        solvers[solution.solved_by or "unsolved"] += 1
        segments.append(solution.segments)
        nodes += solution.nodes
        unanswerable += solution.outcome == "no_answer"
    seconds = time.perf_counter() - start
    n = len(segments)
    spent = np.array(segments or [0])
    return SearchScore(
        n=n,
        network=solvers["network"] / max(n, 1),
        breadth=solvers["breadth"] / max(n, 1),
        search=solvers["search"] / max(n, 1),
        unsolved=solvers["unsolved"] / max(n, 1),
        no_answer=unanswerable / max(n, 1),
        budget=budget,
        mean_segments=float(spent.mean()),
        p95_segments=float(np.percentile(spent, 95, method="inverted_cdf")),
        most_segments=int(spent.max()),
        mean_nodes=nodes / max(n, 1),
        seconds=seconds,
    )
