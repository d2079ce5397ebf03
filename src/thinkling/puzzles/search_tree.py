"""Guided search on one question: the model proposes, the rules refuse, and nothing is left out.

A node is a state of the task's rules (`tasks/search_rules.py`): a set of answers. It is put to the model as a question
with everything written in that is settled. Unless the model's answer is right, the node is replaced by

- its branches: the cell with the fewest candidates, of several such cells the one that the model is least certain of,
  with each of its candidates. Together they hold every answer that the node holds.
- one guess before them: the node with all cells that the model is sure of and that contradict no rule. Whatever it
  holds is in one of the branches, too, so a confident model that is wrong costs time, never the answer.

Which cell is branched on is a matter of rules first: the fewest candidates make the smallest tree whatever the model
knows. Which node comes next is a matter of the model: the one with the least doubt, added up along its way, where a
branch costs how much less likely it is than the best of its siblings (limited discrepancy search; Harvey and Ginsberg,
IJCAI 1995, with the model's odds in place of counts).

A search ends with an answer that the task's checker accepts, with no node left, which proves that there is no answer,
or with its budget spent.

Shapes: L positions, V vocabulary.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.search_rules import SearchRules

Outcome = Literal["open", "answered", "no_answer", "budget"]
"""`open`: still searching; `answered`: the checker accepts the answer; `no_answer`: proven that there is none;
`budget`: ended without either."""

DEFAULT_BUDGET = 4096
"""Segments a question."""

DEFAULT_WIDTH = 4
"""Nodes of a question that think at the same time."""

NODE_STEPS = 1
"""Segments for a node below the question itself."""

SURE = 0.5
"""Least probability, among the candidates of a cell, of what the model is sure of."""

_GUESS_FIRST = 2
"""A guess counts as deeper than the branches: of equal doubt the deepest node comes first."""

_LEAST = 1e-6
"""What a candidate keeps of probability whatever the model says: no doubt is infinite."""


@dataclass(frozen=True, kw_only=True)
class SearchNode:
    """What is put to the model."""

    number: int
    """Names the node in `SearchTree.tell`; 0 is the question itself."""
    inputs: NDArray[np.int64]
    """[L] the question with what is settled."""
    steps: int
    """Limit of segments."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A node that the model is thinking about."""

    state: Any
    """None for a question that contradicts itself: nobody searches it, the model is asked all the same."""
    doubt: float
    depth: int
    steps: int


class SearchTree:
    """The search on one question. Put what `ask` returns to the model, and `tell` what it said, until `ended`.

    Args:
        rules: of the task.
        question: [L] tokens.
        check: (questions [1, L], answers [1, L]) -> [1]: the task's checker.
        budget: segments that may be spent.
        first_steps: limit of segments for the question itself.
        node_steps: limit of segments for every further node.
        sure: least probability of a cell that goes into the guess.
    """

    def __init__(
        self,
        rules: SearchRules[Any],
        question: NDArray[Any],
        check: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]],
        *,
        budget: int = DEFAULT_BUDGET,
        first_steps: int = 16,
        node_steps: int = NODE_STEPS,
        sure: float = SURE,
    ) -> None:
        for name, value in (("budget", budget), ("first_steps", first_steps), ("node_steps", node_steps)):
            if value < 1:
                raise InputError(f"a search with {name} {value}", "1 or more segments", f"raise {name}")
        self.question = np.asarray(question, dtype=np.int64)
        self.budget = budget
        self.segments = 0
        """Segments spent so far."""
        self.nodes = 0
        """Nodes that the model has answered so far."""
        self.outcome: Outcome = "open"
        self.answer: NDArray[np.int64] | None = None
        """[L] the right answer, or else what the model said to the question itself."""
        self.by_model = False
        """Whether the model's answer to the question itself was right."""
        self._rules, self._check = rules, check
        self._first_steps, self._node_steps, self._sure = first_steps, node_steps, sure
        self._numbers = itertools.count(1)
        self._waiting: list[tuple[float, int, int, Any]] = []
        self._asked: dict[int, _Asked] = {}
        self._reserved = 0
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to ask or to tell."""
        return self.outcome != "open"

    def ask(self, width: int) -> list[SearchNode]:
        """Up to `width` nodes for the model. Empty while only the model's answers can tell how to go on."""
        chosen: list[SearchNode] = []
        if not self._begun:
            self._begun = True
            steps = self._reserve(self._first_steps)
            self._asked[0] = _Asked(state=self._rules.start(self.question), doubt=0.0, depth=0, steps=steps)
            return [SearchNode(number=0, inputs=self.question, steps=steps)]
        while not self.ended and self._waiting and len(chosen) < width:
            steps = self._reserve(self._node_steps)
            if not steps:
                break
            doubt, negative_depth, number, state = heapq.heappop(self._waiting)
            self._asked[number] = _Asked(state=state, doubt=doubt, depth=-negative_depth, steps=steps)
            inputs = self._rules.shown(self.question, state)
            chosen.append(SearchNode(number=number, inputs=inputs, steps=steps))
        return chosen

    def tell(
        self, number: int, tokens: NDArray[np.integer], logits: NDArray[np.floating], segments: int
    ) -> None:
        """What the model said to a node.

        Args:
            number: of the node.
            tokens: [L] its answer.
            logits: [L, V] what the answer was chosen by.
            segments: how many it took.
        """
        node = self._asked.pop(number)
        self._reserved -= node.steps
        self.segments += segments
        self.nodes += 1
        if self.ended:
            return
        answer = np.asarray(tokens, dtype=np.int64)
        if node.state is not None:
            answer = self._rules.read(self.question, node.state, answer)
        if number == 0:
            self.answer = answer
        if self._is_right(answer):
            self._end_with(answer)
            self.by_model = number == 0
        elif node.state is not None:
            self._replace(node, logits)
        if self.outcome == "open" and not self._asked:
            if not self._waiting:
                self.outcome = "no_answer"
            elif self.segments >= self.budget:
                self.outcome = "budget"

    def _reserve(self, steps: int) -> int:
        """As many of so many segments as the budget still has, kept for one node."""
        granted = min(steps, self.budget - self.segments - self._reserved)
        self._reserved += granted
        return granted

    def _is_right(self, answer: NDArray[np.int64]) -> bool:
        return bool(self._check(self.question[None], answer[None])[0])

    def _end_with(self, answer: NDArray[np.int64]) -> None:
        self.answer = answer
        self.outcome = "answered"
        self._waiting.clear()

    def _replace(self, node: _Asked, logits: NDArray[np.floating]) -> None:
        """Put a guess and the branches of a node in its place."""
        candidates = self._rules.candidates(node.state)
        counts = candidates.sum(1)
        if counts.max() == 1:
            # The rules alone leave one answer to the question: there is nothing to branch on.
            self._add(node.state, node.doubt, node.depth)
            return
        shares = candidate_shares(logits, candidates)
        guess = self._guess(node.state, shares, counts)
        if guess is not None:
            self._add(guess, node.doubt, node.depth + _GUESS_FIRST)
        cell = branching_cell(shares, counts)
        tokens = np.argsort(-shares[cell], kind="stable")[: counts[cell]]
        doubts = node.doubt + np.log(shares[cell, tokens[0]] / shares[cell, tokens])
        for token, doubt in zip(tokens.tolist(), doubts.tolist(), strict=True):
            self._add(self._rules.fix(node.state, cell, token), doubt, node.depth + 1)

    def _add(self, state: Any, doubt: float, depth: int) -> None:
        """Let a state wait for the model, unless it is empty or is an answer."""
        if state is None or self.ended:
            return
        candidates = self._rules.candidates(state)
        if candidates.sum(1).max() > 1:
            heapq.heappush(self._waiting, (doubt, -depth, next(self._numbers), state))
            return
        answer = candidates.argmax(1).astype(np.int64)
        if self._is_right(answer):
            self._end_with(answer)

    def _guess(self, state: Any, shares: NDArray[np.float64], counts: NDArray[np.int64]) -> Any:
        """The state with every cell that the model is sure of and that contradicts no rule; None where none is kept."""
        certain = shares.max(1)
        cells = np.flatnonzero((counts > 1) & (certain >= self._sure))
        guess = state
        for cell in cells[np.argsort(-certain[cells], kind="stable")].tolist():
            token = int(shares[cell].argmax())
            kept = self._rules.fix(guess, cell, token)
            # What contradicts the cells kept so far is ruled out by them.
            guess = self._rules.forbid(guess, cell, token) if kept is None else kept
            if guess is None:
                return None
        return None if guess is state else guess


def candidate_shares(logits: NDArray[np.floating], candidates: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The model's probabilities [L, V], shared out among the candidates [L, V] of each cell."""
    scores = np.where(candidates, np.asarray(logits, dtype=np.float64), -np.inf)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares = np.where(candidates, np.maximum(shares / shares.sum(1, keepdims=True), _LEAST), 0.0)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def branching_cell(shares: NDArray[np.float64], counts: NDArray[np.integer]) -> int:
    """Of the open cells with the fewest candidates [L] the one whose best share [L, V] is smallest."""
    fewest = counts[counts > 1].min()
    return int(np.where(counts == fewest, shares.max(1), np.inf).argmin())
