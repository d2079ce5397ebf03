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
from thinkling.puzzles.search import PoolSearch
from thinkling.puzzles.search_tree import NODE_STEPS, Outcome, SearchTree
from thinkling.puzzles.solution import Solution, SolvedBy
from thinkling.serving.solve_request import SolveRequest
from thinkling.tasks.maze import BLANK, WALL, Maze
from thinkling.tasks.search_rules import rules_needed
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
    """Segments of its longest chain; with a search, rounds of the search."""
    trace: SegmentTrace
    """In the question's own places and tokens."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """What came out for a question."""

    index: int
    """Place of the question in the request."""
    solution: Solution
    """The answer, with the trace of its chain where it was asked for."""
    limit: int
    """Segments that a chain was allowed."""
    outcome: Outcome | None
    """How its search ended; None where there was none."""


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
        self._tokens = request.questions[index]
        thinking = request.thinking
        self._limit = thinking.steps_or(model.halting.max_steps)
        self._rule = halt_rule(thinking.halt_for(model.task), model.halting, model.task)
        self._chains: QuestionChains | None = None
        self._search: PoolSearch | None = None
        self._failed: Solution | None = None
        """What the chains have answered before the search."""
        self._round = 0
        if request.budget is None or thinking.samples > 1:
            self._chains = QuestionChains(
                model.network, model.task, self._tokens, thinking, puzzle_id=request.puzzle_id, number=index
            )
        else:
            self._search = self._new_search()

    @property
    def wants_slots(self) -> int:
        """How many slots it needs before it can go on; 0 where it thinks or has ended."""
        return 0 if self._chains is None else self._chains.wants_slots

    @property
    def searches(self) -> bool:
        """Whether it takes as many slots as it is given."""
        return self._search is not None

    def fill(self) -> bool:
        """Put into the pool what is ready and has room; whether there was something."""
        if self._search is not None:
            free = self._pool.free
            self._search.fill()
            return self._pool.free < free
        assert self._chains is not None
        put = self._chains.next_put()
        if put is None:
            return False
        self._pool.put(
            (self._key, put.number),
            put.chains,
            rule=self._rule,
            max_steps=self._limit,
            start=put.start,
            noise=put.noise,
            seed=put.seed,
            first_number=put.first_number,
        )
        return True

    def take(self, number: Any, progress: Progress) -> Segment | None:
        """What a segment brought to the part of it that was put under `(key, number)`; a segment to tell, or None."""
        wanted = self._request.trace or self._request.stream
        own = dataclasses.replace(
            progress, chains=tuple(_kept(chain, traced=wanted) for chain in progress.chains)
        )
        if self._search is not None:
            self._search.take(own)
            return self._search_segment(number, own) if wanted else None
        assert self._chains is not None
        self._chains.take(number, own)
        leading = self._chains.leading()
        return None if leading is None else Segment(index=self._index, step=self._chains.step, trace=leading)

    def solved(self) -> Solved | None:
        """What came out; None while it goes on. Nothing of it is left in the pool then."""
        if self._chains is not None:
            if not self._chains.ended:
                return None
            self._drop_chains()
            solution = self._chains.solution()
            if self._request.budget is None:
                return self._solved(solution, None)
            if solution.status == "verified":
                return self._solved(solution, "answered")
            if _spent(solution) >= self._request.budget:
                return self._solved(solution, "budget")
            self._failed, self._chains = solution, None
            self._search = self._new_search()
            return None
        assert self._search is not None
        outcome = self._search.tree.outcome
        return None if outcome == "open" else self._solved(self._found(), outcome)

    def drop(self) -> None:
        """Give all slots back."""
        if self._search is not None:
            self._search.drop()
        else:
            self._drop_chains()

    def _drop_chains(self) -> None:
        for number in (0, 1):
            self._pool.drop((self._key, number))

    def _solved(self, solution: Solution, outcome: Outcome | None) -> Solved:
        return Solved(index=self._index, solution=solution, limit=self._limit, outcome=outcome)

    def _new_search(self) -> PoolSearch:
        task, budget, before = self._model.task, self._request.budget, self._failed
        assert budget is not None
        tree = SearchTree(
            rules_needed(task),
            self._tokens,
            task.check_batch,
            budget=budget if before is None else budget - _spent(before),
            # After its chains the question itself is only asked for what to branch on.
            first_steps=self._limit if before is None else NODE_STEPS,
        )
        node_rule = halt_rule("valid", self._model.halting, task)
        return PoolSearch(
            self._pool,
            self._key,
            tree,
            rule=self._rule if before is None else node_rule,
            node_rule=node_rule,
            puzzle_id=self._request.puzzle_id,
        )

    def _found(self) -> Solution:
        """What the search has found, with what the chains before it have cost."""
        assert self._search is not None
        tree, task, before = self._search.tree, self._model.task, self._failed
        assert tree.answer is not None
        verified = tree.outcome == "answered"
        by: SolvedBy = "network" if tree.by_model else "search"
        return Solution(
            question=task.format(tree.question),
            answer=task.format(tree.answer),
            tokens=tree.answer,
            status="verified" if verified else "unsolved",
            steps=self._search.steps if before is None else before.steps,
            q_halt=self._search.q_halt if before is None else before.q_halt,
            trace=tuple(self._search.trace) if before is None else before.trace,
            solved_by=by if verified else None,
            samples=self._request.thinking.samples,
            segments=tree.segments + (0 if before is None else _spent(before)),
        )

    def _search_segment(self, number: Any, progress: Progress) -> Segment | None:
        """The model's answer to a node, as far as it can be shown on the question's own board."""
        (chain,) = progress.chains
        if chain.confidence is None:
            return None
        self._round += 1
        trace = chain.as_trace()
        shown = dataclasses.replace(trace, tokens=_on_board(self._model.task, self._tokens, trace.tokens))
        return Segment(index=self._index, step=self._round, trace=shown)


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


def _spent(solution: Solution) -> int:
    return solution.steps if solution.segments is None else solution.segments


def some_values(state: NDArray[Any]) -> NDArray[Any]:
    """Evenly spaced values of a state [S, D], at most `MOST_STATE_VALUES` of them."""
    flat = state.reshape(-1)
    return flat[:: -(-len(flat) // MOST_STATE_VALUES)].copy()


def _on_board(task: Task, question: NDArray[Any], answer: NDArray[Any]) -> NDArray[Any]:
    """The answer to a node without the walls that a search has built into its maze."""
    if not isinstance(task, Maze):
        return answer
    return np.where((question == BLANK) & (answer == WALL), BLANK, answer)
