"""Searching with a model: many questions, and many nodes of each, share the slots of one pool.

Shapes: L positions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
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
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.slot_pool import Progress, SlotPool
from thinkling.thinking.thinker import Thinker
from thinkling.thinking.trace import SegmentTrace

_AHEAD = 4
"""Answers wait for an earlier one up to so many times the slots; then no further question is taken."""


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
    """One search inside a pool that others may use at the same time.

    Whoever steps the pool calls `fill` before each step and `take` with every progress whose key is `(key, number)`.
    A round of nodes is put as slots become free, and the next is chosen when all of it has been answered: what a search
    does depends on its question only, not on its company.

    Args:
        pool: keeps logits.
        key: names the search.
        tree: the search.
        rule: what stops the question itself.
        node_rule: what stops every further node: a valid answer.
        puzzle_id: of the question.
        width: nodes in a round.
    """

    def __init__(
        self,
        pool: SlotPool[Question, PuzzleBatch],
        key: Hashable,
        tree: SearchTree,
        *,
        rule: HaltRule,
        node_rule: HaltRule,
        puzzle_id: int = 0,
        width: int = DEFAULT_WIDTH,
    ) -> None:
        assert pool.keep_logits, "a search chooses by the logits"
        self.key, self.tree = key, tree
        self.trace: list[SegmentTrace] = []
        """What the question itself was answered segment by segment, from a pool with `trace`."""
        self.q_halt = 0.0
        """Probability of being right of the first answer, by the model's own halt value."""
        self.steps = 0
        """Segments spent on the question itself."""
        self._pool, self._puzzle_id, self._width = pool, puzzle_id, width
        self._rule, self._node_rule = rule, node_rule
        self._round: deque[SearchNode] = deque()
        self._in_work: set[int] = set()

    def fill(self) -> None:
        """Put nodes to the model while slots are free."""
        if not self._round and not self._in_work:
            self._round.extend(self.tree.ask(self._width))
        while self._round and self._pool.free:
            node = self._round.popleft()
            question = Question(inputs=node.inputs, puzzle_id=self._puzzle_id)
            rule = self._node_rule if node.number else self._rule
            self._pool.put((self.key, node.number), [question], rule=rule, max_steps=node.steps)
            self._in_work.add(node.number)

    def take(self, progress: Progress) -> bool:
        """What the model says to one of its nodes after a segment. True where the search has ended with it."""
        number = cast(tuple[Hashable, int], progress.key)[1]  # the key that `fill` has put
        if number not in self._in_work:
            return False  # a node of the round in which another one has ended the search
        (chain,) = progress.chains
        if number == 0:
            self.q_halt, self.steps = chain.q_halt, progress.step
            if self._pool.trace:
                self.trace.append(chain.as_trace())
        if progress.ended:
            assert chain.logits is not None
            self._in_work.discard(number)
            self.tree.tell(number, chain.tokens, chain.logits.cpu().numpy(), progress.step)
            if self.tree.ended:
                self.drop()
                return True
        return False

    def drop(self) -> None:
        """Give the slots back; the search goes no further."""
        for number in self._in_work:
            self._pool.drop((self.key, number))
        self._in_work.clear()
        self._round.clear()


class _Searches:
    """The searches in work, and what is needed to begin one."""

    def __init__(
        self,
        model: PuzzleModel,
        pool: SlotPool[Question, PuzzleBatch],
        thinking: Thinking,
        *,
        budget: int,
        width: int,
        puzzle_id: int,
    ) -> None:
        self.in_work: dict[int, PoolSearch] = {}
        self._model, self._pool, self._thinking = model, pool, thinking
        self._budget, self._width, self._puzzle_id = budget, width, puzzle_id
        self._rules = rules_needed(model.task)
        self._rule = halt_rule(thinking.halt_for(model.task), model.halting, model.task)
        self._node_rule = halt_rule("valid", model.halting, model.task)
        self._before: dict[int, Solution] = {}

    def begin(
        self, index: int, question: NDArray[np.integer], before: Solution | None
    ) -> SearchedSolution | None:
        """Take a question; what is known of it at once where there is nothing to search.

        Args:
            index: its place in the stream.
            question: [L] tokens.
            before: what several chains have answered; None where the question has not been asked yet.
        """
        first_steps, budget = self._thinking.steps_or(self._model.halting.max_steps), self._budget
        if before is not None:
            spent = before.steps if before.segments is None else before.segments
            if before.status == "verified":
                return _searched(before, "answered", nodes=1)
            if spent >= budget:
                return _searched(before, "budget", nodes=1)
            # One chain has had its steps: the first node is only asked for what to branch on.
            first_steps, budget = NODE_STEPS, budget - spent
            self._before[index] = before
        check = self._model.task.check_batch
        tree = SearchTree(self._rules, question, check, budget=budget, first_steps=first_steps)
        self.in_work[index] = PoolSearch(
            self._pool,
            index,
            tree,
            rule=self._rule if before is None else self._node_rule,
            node_rule=self._node_rule,
            puzzle_id=self._puzzle_id,
            width=self._width,
        )
        return None

    def step(self) -> list[tuple[int, SearchedSolution]]:
        """One segment of every node in work: what the searches that have ended with it have found."""
        for search in self.in_work.values():
            search.fill()
        ended: list[tuple[int, SearchedSolution]] = []
        for progress in self._pool.step():
            index = cast(tuple[int, int], progress.key)[0]  # the key that `PoolSearch.fill` has put
            if index in self.in_work and self.in_work[index].take(progress):
                ended.append((index, self._found(self.in_work.pop(index), self._before.pop(index, None))))
        return ended

    def _found(self, search: PoolSearch, before: Solution | None) -> SearchedSolution:
        tree, task = search.tree, self._model.task
        assert tree.answer is not None
        spent = tree.segments
        if before is not None:
            spent += before.steps if before.segments is None else before.segments
        answered = tree.outcome == "answered"
        return SearchedSolution(
            question=task.format(tree.question),
            answer=task.format(tree.answer),
            tokens=tree.answer,
            status="verified" if answered else "unsolved",
            steps=search.steps if before is None else before.steps,
            q_halt=search.q_halt if before is None else before.q_halt,
            trace=tuple(search.trace) if before is None else before.trace,
            solved_by=None if not answered else "network" if tree.by_model else "search",
            samples=self._thinking.samples,
            segments=spent,
            outcome=tree.outcome,
            nodes=tree.nodes,
        )


def _searched(solution: Solution, outcome: Outcome, nodes: int) -> SearchedSolution:
    values = {field.name: getattr(solution, field.name) for field in dataclasses.fields(Solution)}
    return SearchedSolution(**values, outcome=outcome, nodes=nodes)


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
    thinking, thinker = thinking or Thinking(), thinker or model.network
    pool = SlotPool[Question, PuzzleBatch](
        thinker, PuzzleBatch.of_questions, slots=slots, trace=trace, keep_logits=True
    )
    searches = _Searches(model, pool, thinking, budget=budget, width=width, puzzle_id=puzzle_id)
    if thinking.samples == 1:
        return _in_order(model, searches, ((question, None) for question in questions), slots)
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
    return _in_order(model, searches, asked, slots)


def _in_order(
    model: PuzzleModel,
    searches: _Searches,
    asked: Iterator[tuple[NDArray[np.integer], Solution | None]],
    slots: int,
) -> Iterator[SearchedSolution]:
    waiting = enumerate(asked)
    found: dict[int, SearchedSolution] = {}
    following = 0
    with weights_cast_once(model.network, model.network.compute_dtype):
        while True:
            room = min(slots - len(searches.in_work), _AHEAD * slots - len(found))
            for index, (question, before) in itertools.islice(waiting, max(room, 0)):
                at_once = searches.begin(index, question, before)
                if at_once is not None:
                    found[index] = at_once
            if not searches.in_work and not found:
                return
            found.update(searches.step())
            while following in found:
                yield found.pop(following)
                following += 1
