"""Searching with a model: many questions, and many nodes of each, share the slots of one pool.

Shapes: L positions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.chain_pool import think
from thinkling.puzzles.judging import halt_rule
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.search_tree import (
    DEFAULT_BUDGET,
    DEFAULT_WIDTH,
    NODE_STEPS,
    Outcome,
    SearchNode,
    SearchTree,
)
from thinkling.puzzles.solution import Solution
from thinkling.tasks.search_rules import rules_needed
from thinkling.thinking.in_order import AHEAD, InOrder
from thinkling.thinking.slot_pool import Progress, SlotPool
from thinkling.thinking.thinker import Thinker
from thinkling.thinking.trace import SegmentTrace


@dataclass(frozen=True, kw_only=True)
class SearchedSolution(Solution):
    """What a search found. `steps`, `trace` and `q_halt` are of the question itself, before any branching; `segments`
    counts every segment of every node."""

    outcome: Outcome
    """How the search ended: `no_answer` is a proof, `budget` is not."""
    nodes: int
    """Questions put to the model, the original one included."""

    def as_json(self) -> dict[str, Any]:
        """The keys of any solution, with how the search ended."""
        return super().as_json() | {"search": self.outcome, "nodes": self.nodes}


class PoolSearch:
    """The search on one question, inside a pool that others may use at the same time.

    Whoever steps the pool calls `fill` before each step and `take` with every progress whose key is `(key, number)`.
    A round of nodes is put as slots become free, and the next is chosen when all of it has been answered: what a search
    does depends on its question only, not on its company.

    Args:
        model: of a task whose rules are known; its network thinks in the pool.
        pool: keeps logits.
        key: names the search there.
        question: to be answered.
        thinking: how the question itself is thought about; of its chains only chain 0.
        budget: segments that the question may cost, `before` included.
        before: what the question's chains have answered, as far as `settled` knows nothing; None where it has not been
            asked yet.
        width: nodes in a round.

    Raises:
        InputError: the task's rules are not known.
    """

    def __init__(
        self,
        model: PuzzleModel,
        pool: SlotPool[Question, PuzzleBatch],
        key: Hashable,
        question: Question,
        thinking: Thinking,
        *,
        budget: int,
        before: Solution | None = None,
        width: int = DEFAULT_WIDTH,
    ) -> None:
        assert pool.keep_logits, "a search chooses by the logits"
        task = model.task
        # A chain has had its steps: then the question itself is only asked for what to branch on.
        self._tree = SearchTree(
            rules_needed(task),
            question.inputs,
            task.check_batch,
            budget=budget if before is None else budget - before.segments,
            first_steps=thinking.steps_or(model.halting.max_steps) if before is None else NODE_STEPS,
        )
        self._node_rule = halt_rule("valid", model.halting, task)
        first = thinking.halt_for(task) if before is None else "valid"
        self._first_rule = halt_rule(first, model.halting, task)
        self._task, self._pool, self._key, self._before = task, pool, key, before
        self._puzzle_id, self._samples, self._width = question.puzzle_id, thinking.samples, width
        self._round: deque[SearchNode] = deque()
        self._in_work: set[int] = set()
        self._trace: list[SegmentTrace] = []
        self._q_halt, self._steps = 0.0, 0

    @property
    def ended(self) -> bool:
        """Whether it has found an answer, proven that there is none, or spent its budget."""
        return self._tree.ended

    def fill(self) -> None:
        """Put nodes to the model while slots are free."""
        if not self._round and not self._in_work:
            self._round.extend(self._tree.ask(self._width))
        while self._round and self._pool.free:
            node = self._round.popleft()
            question = Question(inputs=node.inputs, puzzle_id=self._puzzle_id)
            rule = self._node_rule if node.number else self._first_rule
            self._pool.put((self._key, node.number), [question], rule=rule, max_steps=node.steps)
            self._in_work.add(node.number)

    def take(self, progress: Progress) -> bool:
        """What the model says to one of its nodes after a segment; False: it is of none that the search waits for."""
        number = cast(tuple[Hashable, int], progress.key)[1]  # the key that `fill` has put
        if number not in self._in_work:
            return (
                False  # of the segment in which another node has ended the search, or a chain those before it
            )
        (chain,) = progress.chains
        if number == 0:
            self._q_halt, self._steps = chain.q_halt, progress.step
            if self._pool.trace:
                self._trace.append(chain.as_trace())
        if progress.ended:
            assert chain.logits is not None
            self._in_work.discard(number)
            self._tree.tell(number, chain.tokens, chain.logits.cpu().numpy(), progress.step)
            if self.ended:
                self.drop()
        return True

    def drop(self) -> None:
        """Give the slots back; the search goes no further."""
        for number in self._in_work:
            self._pool.drop((self._key, number))
        self._in_work.clear()
        self._round.clear()

    def solution(self) -> SearchedSolution:
        """What it has found, with what the chains before it have cost; once it has ended."""
        tree, task, before = self._tree, self._task, self._before
        assert tree.answer is not None
        answered = tree.outcome == "answered"
        return SearchedSolution(
            question=task.format(tree.question),
            answer=task.format(tree.answer),
            tokens=tree.answer,
            status="verified" if answered else "unsolved",
            steps=self._steps if before is None else before.steps,
            q_halt=self._q_halt if before is None else before.q_halt,
            trace=tuple(self._trace) if before is None else before.trace,
            solved_by=None if not answered else "network" if tree.by_model else "search",
            samples=self._samples,
            segments=tree.segments + (0 if before is None else before.segments),
            outcome=tree.outcome,
            nodes=tree.nodes,
        )


def settled(before: Solution, budget: int) -> SearchedSolution | None:
    """What a question's chains leave nothing to search of: a verified answer, or a spent budget. None: search on."""
    outcome: Outcome
    if before.status == "verified":
        outcome = "answered"
    elif before.segments >= budget:
        outcome = "budget"
    else:
        return None
    values = {field.name: getattr(before, field.name) for field in dataclasses.fields(Solution)}
    return SearchedSolution(**values, outcome=outcome, nodes=1)


def search(
    model: PuzzleModel,
    questions: Iterable[NDArray[np.integer]],
    *,
    thinking: Thinking | None = None,
    budget: int = DEFAULT_BUDGET,
    slots: int = 64,
    width: int = DEFAULT_WIDTH,
    trace: bool = False,
    puzzle_id: int = 0,
    thinker: Thinker[PuzzleBatch] | None = None,
) -> Iterator[SearchedSolution]:
    """Solve a stream of encoded questions [L] with searching; solutions come in input order.

    Each question is put to the model as it is first, with as many chains as `thinking` says: what that answers rightly
    is the model's own or breadth's, and only what is found after it the search's. Memory is bounded by slots and
    budget.

    Args:
        model: of a task whose rules are known.
        questions: [L] tokens each.
        thinking: how the question itself is thought about.
        budget: segments that a question may cost in all. Only what further chains need may go beyond it.
        slots: chains and nodes in work at the same time.
        width: nodes of one question in work at the same time.
        trace: keep what each segment said to the question itself.
        puzzle_id: row of the puzzle embedding.
        thinker: what thinks, where that is not the bare network.

    Raises:
        InputError: the task's rules are not known, or a limit is below 1.
    """
    for name, value in (("budget", budget), ("slots", slots), ("width", width)):
        if value < 1:
            raise InputError(f"--{name} {value}", "1 or more", f"give another --{name}")
    rules_needed(model.task)
    thinking, thinker = thinking or Thinking(), thinker or model.network
    pool = SlotPool[Question, PuzzleBatch](
        thinker, PuzzleBatch.of_questions, slots=slots, trace=trace, keep_logits=True
    )
    asked: Iterator[tuple[NDArray[np.integer], Solution | None]] = (
        (question, None) for question in questions
    )
    if thinking.samples > 1:
        by_breadth = think(
            model.network,
            model.task,
            (Question(inputs=question, puzzle_id=puzzle_id) for question in questions),
            thinking,
            halt_rule(thinking.halt_for(model.task), model.halting, model.task),
            max_steps=thinking.steps_or(model.halting.max_steps),
            slots=slots,
            thinker=thinker,
            trace=trace,
        )
        asked = ((chains.tokens, chains.solution()) for _, chains in by_breadth)

    def begin(
        index: int, tokens: NDArray[np.integer], before: Solution | None
    ) -> SearchedSolution | PoolSearch:
        known = None if before is None else settled(before, budget)
        question = Question(inputs=tokens, puzzle_id=puzzle_id)
        return known or PoolSearch(
            model, pool, index, question, thinking, budget=budget, before=before, width=width
        )

    return _in_order(model, pool, asked, begin)


def _in_order(
    model: PuzzleModel,
    pool: SlotPool[Question, PuzzleBatch],
    asked: Iterator[tuple[NDArray[np.integer], Solution | None]],
    begin: Callable[[int, NDArray[np.integer], Solution | None], SearchedSolution | PoolSearch],
) -> Iterator[SearchedSolution]:
    """The solutions of questions [L], each with what its chains have answered; `begin` takes one with its number."""
    waiting = enumerate(asked)
    in_work: dict[int, PoolSearch] = {}
    early = InOrder[SearchedSolution]()
    with weights_cast_once(model.network, model.network.compute_dtype):
        while True:
            found: list[tuple[int, SearchedSolution]] = []
            room = min(pool.slots - len(in_work), AHEAD * pool.slots - len(early))
            for index, (tokens, before) in itertools.islice(waiting, max(room, 0)):
                begun = begin(index, tokens, before)
                if isinstance(begun, PoolSearch):
                    in_work[index] = begun
                else:
                    found.append((index, begun))
            if not in_work and not found:
                return
            for searching in in_work.values():
                searching.fill()
            for progress in pool.step():
                index = cast(tuple[int, int], progress.key)[0]  # the key that `PoolSearch.fill` has put
                if index in in_work:
                    in_work[index].take(progress)
                    if in_work[index].ended:
                        found.append((index, in_work.pop(index).solution()))
            for index, solution in found:
                yield from early.put(index, solution)
