"""One question in the thread that thinks: what it wants to put into the pool, and what has become of it.

A question is answered by its chains, or by a search, or, where both are asked for, by a search after its chains have
failed. What is kept for those who look at the thinking is copied out of the pool's batches at once, and of a state only
so many of its values: a picture in two dimensions needs no more, and the memory that a request holds stays small.

Shapes: L positions, S positions with the prefix, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.puzzles.breadth import QuestionChains
from thinkling.puzzles.judging import halt_rule
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.search import PoolSearch, settled
from thinkling.puzzles.solution import Solution
from thinkling.serving.solve_request import SolveRequest
from thinkling.tasks.maze import BLANK, WALL, Maze
from thinkling.tasks.task import Task
from thinkling.thinking.slot_pool import ChainState, Progress, SlotPool
from thinkling.thinking.trace import SegmentTrace

Pool: TypeAlias = SlotPool[Question, PuzzleBatch]

MOST_STATE_VALUES = 1024
"""Values of a high-level state that are kept for its way in two dimensions."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What a question's leading chain says after a segment."""

    index: int
    """Place of the question in the request."""
    step: int
    """Segments of its longest chain, and after them those of its search."""
    trace: SegmentTrace
    """In the question's own places and tokens."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """What came out for a question."""

    index: int
    """Place of the question in the request."""
    solution: Solution
    """The answer, with the trace of its chain where it was asked for; of a search, how that has ended."""
    limit: int
    """Segments that a chain was allowed."""


class Job:
    """One question from its first segment to its last.

    Args:
        model: whose network runs in the pool.
        request: the client's.
        index: of the question in the request.
        pool: what the question is put into.
        key: names it there; every key in the pool is `(key, …)`.

    Raises:
        InputError: the task does not allow what is asked.
    """

    def __init__(
        self, model: PuzzleModel, request: SolveRequest, index: int, pool: Pool, key: Hashable
    ) -> None:
        self._model, self._request, self._index, self._pool, self._key = model, request, index, pool, key
        self._question = Question(inputs=request.questions[index], puzzle_id=request.puzzle_id)
        thinking = request.thinking
        self._limit = thinking.steps_or(model.halting.max_steps)
        self._step = 0
        """Number of its search's last segment that can be told: it counts on from the chains."""
        self._thought: QuestionChains | PoolSearch
        """What it is doing: chains, and after them or in place of a single one a search."""
        if request.budget is not None and thinking.samples == 1:
            self._thought = self._search(request.budget)
        else:
            self._thought = QuestionChains(
                model.network,
                model.task,
                pool,
                key,
                self._question,
                thinking,
                rule=halt_rule(thinking.halt_for(model.task), model.halting, model.task),
                max_steps=self._limit,
                number=index,
            )

    @property
    def wants_slots(self) -> int:
        """How many slots it needs before it can go on; 0 where it thinks, searches or has ended."""
        return self._thought.wants_slots if isinstance(self._thought, QuestionChains) else 0

    @property
    def searches(self) -> bool:
        """Whether it takes as many slots as it is given."""
        return isinstance(self._thought, PoolSearch)

    def fill(self) -> bool:
        """Put into the pool what is ready and has room; whether there was something."""
        if isinstance(self._thought, PoolSearch):
            free = self._pool.free
            self._thought.fill()
            return self._pool.free < free
        wanted = self.wants_slots
        self._thought.fill()
        if 0 < self.wants_slots <= self._pool.free:  # the other chains, where they do not wait for the first
            self._thought.fill()
        return wanted > 0

    def take(self, progress: Progress) -> Segment | None:
        """What a segment brought to a part of it; a segment to tell, or None."""
        looked_at = self._request.trace or self._request.stream
        if not (looked_at or self._pool.trace or isinstance(self._thought, PoolSearch)):
            self._thought.take(progress)  # there is nothing to copy
            return None
        own = dataclasses.replace(
            progress, chains=tuple(_kept(chain, traced=looked_at) for chain in progress.chains)
        )
        if isinstance(self._thought, PoolSearch):
            return self._search_segment(own) if self._thought.take(own) and looked_at else None
        self._thought.take(own)
        leading = self._thought.leading()
        return None if leading is None else Segment(index=self._index, step=self._thought.step, trace=leading)

    def solved(self) -> Solved | None:
        """What came out; None while it goes on. Nothing of it is left in the pool then."""
        if not self._thought.ended:
            return None
        self._thought.drop()
        solution: Solution = self._thought.solution()
        budget = self._request.budget
        if budget is not None and isinstance(self._thought, QuestionChains):
            known = settled(solution, budget)
            if known is None:
                self._step = self._thought.step
                self._thought = self._search(budget, solution)
                return None
            solution = known
        return Solved(index=self._index, solution=solution, limit=self._limit)

    def drop(self) -> None:
        """Give all slots back."""
        self._thought.drop()

    def _search(self, budget: int, before: Solution | None = None) -> PoolSearch:
        thinking = self._request.thinking
        return PoolSearch(
            self._model, self._pool, self._key, self._question, thinking, budget=budget, before=before
        )

    def _search_segment(self, progress: Progress) -> Segment | None:
        """The model's answer to a node, as far as it can be shown on the question's own board."""
        (chain,) = progress.chains
        if chain.confidence is None:
            return None
        self._step += 1
        trace = chain.as_trace()
        tokens = _on_board(self._model.task, self._question.inputs, trace.tokens)
        return Segment(index=self._index, step=self._step, trace=dataclasses.replace(trace, tokens=tokens))


def _kept(chain: ChainState, *, traced: bool) -> ChainState:
    """A chain without views into the pool's batches, and without what nobody looks at."""
    if not traced:
        return dataclasses.replace(chain, tokens=chain.tokens.copy(), confidence=None, z_H=None)
    return dataclasses.replace(
        chain,
        tokens=chain.tokens.copy(),
        confidence=None if chain.confidence is None else chain.confidence.copy(),
        z_H=None if chain.z_H is None else some_values(chain.z_H),
    )


def some_values(state: NDArray[Any]) -> NDArray[Any]:
    """Evenly spaced values of a state [S, D], at most `MOST_STATE_VALUES` of them."""
    flat = state.reshape(-1)
    return flat[:: -(-len(flat) // MOST_STATE_VALUES)].copy()


def _on_board(task: Task, question: NDArray[Any], answer: NDArray[Any]) -> NDArray[Any]:
    """The answer to a node without the walls that a search has built into its maze."""
    if not isinstance(task, Maze):
        return answer
    return np.where((question == BLANK) & (answer == WALL), BLANK, answer)
