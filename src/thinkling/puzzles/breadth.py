"""Breadth: several chains of thought a question, and which of them to believe.

Chain 0 is what the question alone would be. The others differ from it by a symmetry of the task, by where the carry
begins, or by noise on its way. They join only when chain 0 has not come to an end within the first segments: most
questions need no second opinion. As soon as one chain satisfies the stopping rule all chains of its question end, and
their slots go to other questions.

Shapes: K chains of a question, L positions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.puzzles.reasoner import Reasoner
from thinkling.puzzles.solution import Solution, SolvedBy, Status
from thinkling.tasks.task import Task
from thinkling.tasks.views import Views, unchanged
from thinkling.thinking.carry import Carry
from thinkling.thinking.halting import HaltRule, HaltRuleName
from thinkling.thinking.selection import Select, choose
from thinkling.thinking.slot_pool import ChainState, Progress, SlotPool, normal
from thinkling.thinking.trace import SegmentTrace

Vary = Literal["symmetry", "init", "noise"]
"""What chains differ by: a symmetric copy of the question, the carry they begin from, or noise between segments."""

MOST_SAMPLES = 4096
"""More chains of one question are surely a mistake."""

ALONE = 4
"""Where only a valid answer stops a question: segments that chain 0 has to itself unless told otherwise."""

NOISE: dict[Vary, float] = {"symmetry": 0.0, "init": 1.0, "noise": 0.3}
"""Deviation of the noise unless told otherwise; values of a state have a mean square of about 1."""

_VIEW_STREAM = 0x51E85
"""Keeps the draws of views apart from others of the same seed."""


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """How a question is thought about."""

    halt: HaltRuleName | None = None
    """What stops a question; None: a valid answer where the task can tell one, else the Q value."""
    steps: int | None = None
    """Limit of segments of each chain; None: the trained one."""
    samples: int = 1
    """K: chains of a question."""
    vary: Vary = "symmetry"
    """What chains differ by."""
    select: Select | None = None
    """Which chain to believe; None: a valid one where the task can tell, else the one with the best Q value."""
    noise: float | None = None
    """For `init` and `noise`: standard deviation of what is added to the carry; None: a measured one."""
    alone: int | None = None
    """Segments that chain 0 has to itself before the others join; 0: all think from the start. None: some where a valid
    answer stops a question, else 0, because a Q value that stops chain 0 too early would leave the others nothing."""
    seed: int = 0
    """Of views and noise."""

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise InputError(
                f"{self.samples} samples", f"1 to {MOST_SAMPLES}", "give another number of samples"
            )
        if self.steps is not None and self.steps < 1:
            raise InputError(f"a limit of {self.steps} steps", "1 or more", "give another number of steps")
        if self.noise is not None and not 0 <= self.noise < math.inf:
            raise InputError(f"noise of {self.noise}", "0 or more, and finite", "give another noise")
        if self.alone is not None and self.alone < 0:
            raise InputError(f"{self.alone} segments alone", "0 or more", "give another number")

    def steps_or(self, limit: int) -> int:
        """The limit of segments, for a model whose trained limit is given."""
        return limit if self.steps is None else self.steps

    def halt_for(self, task: Task) -> HaltRuleName:
        """The stopping rule for a task."""
        return self.halt or ("valid" if task.has_checker else "q")

    def select_for(self, task: Task) -> Select:
        """The selection for a task."""
        return self.select or ("valid" if task.has_checker else "q")

    def alone_for(self, task: Task) -> int:
        """Segments that chain 0 has to itself, for a task."""
        if self.alone is not None:
            return self.alone
        return ALONE if self.halt_for(task) == "valid" else 0

    def with_limits(self, *, halt: HaltRuleName | None, steps: int | None) -> Thinking:
        """The same with stopping rule and limit replaced where they are given."""
        return dataclasses.replace(self, halt=halt or self.halt, steps=self.steps if steps is None else steps)

    def check_slots(self, slots: int) -> None:
        """InputError where there are more chains than slots."""
        if self.samples > slots:
            raise InputError(
                f"{self.samples} samples with {slots} slots",
                "up to the slots",
                "use fewer samples, or more slots",
            )

    def check_task(self, task: Task) -> None:
        """Whether a task allows it.

        Raises:
            InputError: symmetric copies of a task that has none, or a valid answer asked of a task without a checker.
        """
        if self.samples > 1 and self.vary == "symmetry" and not task.view_numbers:
            raise InputError(
                f"samples that vary by symmetry for task {task.name}, which has no symmetries with a way back",
                "init, noise",
                "use --vary init or --vary noise, or a plug-in with view",
            )
        if self.select == "valid" and not task.has_checker:
            raise InputError(
                f"--select valid for task {task.name}, which has no checker",
                "q, vote, residual, first",
                "use --select q",
            )


def views_of(task: Task, tokens: NDArray[Any], puzzle_id: int, thinking: Thinking, number: int = 0) -> Views:
    """The views of a question [L], one a chain; copies of it where chains differ by something else.

    Args:
        task: whose symmetries.
        tokens: [L] the question.
        puzzle_id: its puzzle id.
        thinking: how many, and the seed.
        number: of the question in its stream: view n of it depends on (seed, number, n) only.
    """
    inputs = np.repeat(np.asarray(tokens)[None], thinking.samples, axis=0)
    ids = np.full(thinking.samples, puzzle_id, dtype=np.int64)
    if thinking.vary != "symmetry" or thinking.samples == 1 or not task.view_numbers:
        return unchanged(inputs, ids)
    items = np.arange(thinking.samples, dtype=np.int64) + number * MOST_SAMPLES
    return task.views(inputs, ids, uniforms(thinking.seed ^ _VIEW_STREAM, items, task.view_numbers))


@dataclass(frozen=True, kw_only=True)
class Chains:
    """What came out of all chains of a question."""

    question: NDArray[Any]
    """[L] tokens of the question."""
    numbers: NDArray[np.int64]
    """[K] which chains they are: only those that have thought at all, chain 0 among them."""
    answers: NDArray[np.int64]
    """[K, L] mapped back to the question's own places and tokens."""
    steps: NDArray[np.int64]
    """[K] segments of each."""
    q_halt: NDArray[np.float64]
    """[K] probabilities of being right, by the model's own halt value."""
    residual: NDArray[np.float64]
    """[K] relative changes of the high-level state."""
    halted: NDArray[np.bool_]
    """[K] whether the stopping rule stopped the chain."""
    valid: NDArray[np.bool_] | None
    """[K] what the task's checker says; None without one."""
    traces: tuple[tuple[SegmentTrace, ...], ...]
    """[K] one entry a segment, mapped back; empty where not asked for."""

    @property
    def segments(self) -> int:
        """Segments of all chains together."""
        return int(self.steps.sum())

    def chosen(self, select: Select) -> int:
        """Place of the chain to believe."""
        return choose(
            select,
            answers=self.answers,
            q_halt=self.q_halt,
            residual=self.residual,
            halted=self.halted,
            valid=self.valid,
        )

    def solved_by(self, place: int) -> SolvedBy | None:
        """Whose a valid answer is: the network's where chain 0 has found one too, whichever chain is believed.

        None where the chosen answer is not valid, or there is no checker.
        """
        if self.valid is None or not self.valid[place]:
            return None
        return "network" if self.valid[0] else "breadth"


class QuestionChains:
    """One question with its chains, inside a pool that others may use at the same time.

    Whoever steps the pool calls `fill` as soon as `wants_slots` are free, and `take` with every progress whose key is
    `(key, …)`, until the question has ended; `drop` then gives back what is left of it.

    Args:
        reasoner: whose initial state chains vary.
        task: whose symmetries and checker are used.
        pool: where the chains think.
        key: names the question there.
        question: to be answered.
        thinking: how; its `halt` and `steps` are what `rule` and `max_steps` were made of.
        rule: what stops the question.
        max_steps: limit of segments of each chain.
        number: of the question in its stream: views and noise depend on the seed and on it.

    Raises:
        InputError: the task does not allow it.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        task: Task,
        pool: SlotPool[Question, PuzzleBatch],
        key: Hashable,
        question: Question,
        thinking: Thinking,
        *,
        rule: HaltRule,
        max_steps: int,
        number: int = 0,
    ) -> None:
        thinking.check_task(task)
        self.tokens = np.asarray(question.inputs)
        self.thinking = thinking
        self._reasoner, self._task, self._pool, self._key = reasoner, task, pool, key
        self._rule, self._max_steps = rule, max_steps
        self._alone = thinking.alone_for(task)
        self._views = views_of(task, self.tokens, question.puzzle_id, thinking, number)
        self._noise_seed = thinking.seed * 1_000_003 + number
        self._latest: dict[int, tuple[ChainState, int]] = {}
        self._traces: dict[int, list[SegmentTrace]] = {}
        # The question is put in two parts: 0 is chain 0, 1 are the others.
        self._open = {0, 1} if thinking.samples > 1 else {0}
        self._put: set[int] = set()

    @property
    def ended(self) -> bool:
        """Whether a chain satisfies the stopping rule, or all have reached their limit."""
        return not self._open

    @property
    def step(self) -> int:
        """Segments that the longest chain has had."""
        return max((steps for _, steps in self._latest.values()), default=0)

    @property
    def wants_slots(self) -> int:
        """How many slots `fill` needs; 0 where nothing is to be put now."""
        if self.ended or self._put == {0, 1}:
            return 0
        if not self._put:
            return 1
        alone = 0 in self._open and self.step < self._alone
        return 0 if alone or 1 not in self._open else self.thinking.samples - 1

    def fill(self) -> None:
        """Put what is to think now into the pool, which has as many slots free as `wants_slots` says."""
        if not self.wants_slots:
            return
        part = len(self._put)
        self._put.add(part)
        numbers = range(1, self.thinking.samples) if part else range(1)
        vary = self.thinking.vary if part else "symmetry"
        noise = NOISE[vary] if self.thinking.noise is None else self.thinking.noise
        views = self._views
        self._pool.put(
            (self._key, part),
            [
                Question(inputs=views.inputs[chain], puzzle_id=int(views.puzzle_ids[chain]))
                for chain in numbers
            ],
            rule=self._rule,
            max_steps=self._max_steps,
            start=self._start(numbers, noise) if vary == "init" else None,
            noise=noise if vary == "noise" else 0.0,
            seed=self._noise_seed,
            first_number=numbers[0],
        )

    def _start(self, numbers: range, noise: float) -> Carry:
        """Initial states, each moved by noise."""
        start = self._reasoner.started_carry(len(numbers))
        shape = start.z_H.shape[1:]
        drawn = torch.stack([normal(shape, self._noise_seed, number, 0) for number in numbers])
        drawn = (noise * drawn).to(start.z_H)
        return dataclasses.replace(start, z_H=start.z_H + drawn[:, 0], z_L=start.z_L + drawn[:, 1])

    def take(self, progress: Progress) -> None:
        """What a segment brought to a part of the question."""
        part = cast(tuple[Hashable, int], progress.key)[1]  # the key that `fill` has put
        for chain in progress.chains:
            self._latest[chain.number] = (chain, progress.step)
            if chain.confidence is not None:
                self._traces.setdefault(chain.number, []).append(chain.as_trace())
        if progress.ended:
            self._open.discard(part)
            if any(chain.halted for chain in progress.chains):
                self._open.clear()

    def drop(self) -> None:
        """Give the slots back."""
        for part in self._put:
            self._pool.drop((self._key, part))

    def leading(self) -> SegmentTrace | None:
        """What the chain with the best halt value says now, mapped back; None from a pool without trace."""
        if not self._traces:
            return None
        best = max(self._traces, key=lambda number: (self._latest[number][0].q_halt, -number))
        return _back(self._views, best, self._traces[best][-1])

    def chains(self) -> Chains:
        """What has come out so far, of the chains that have begun."""
        numbers = sorted(self._latest)
        states = [self._latest[number][0] for number in numbers]
        answers = np.stack([self._views.undo(chain.number, chain.tokens) for chain in states])
        valid = None
        if self._task.has_checker:
            asked = np.repeat(self.tokens[None], len(numbers), axis=0)
            valid = self._task.check_batch(asked, answers)
        return Chains(
            question=self.tokens,
            numbers=np.array(numbers),
            answers=answers,
            steps=np.array([self._latest[number][1] for number in numbers]),
            q_halt=np.array([chain.q_halt for chain in states]),
            residual=np.array([chain.residual for chain in states]),
            halted=np.array([chain.halted for chain in states]),
            valid=valid,
            traces=tuple(
                tuple(_back(self._views, number, entry) for entry in self._traces.get(number, ()))
                for number in numbers
            ),
        )

    def solution(self) -> Solution:
        """The answer of the chain to believe."""
        chains = self.chains()
        place = chains.chosen(self.thinking.select_for(self._task))
        answer = chains.answers[place]
        by = chains.solved_by(place)
        status: Status = "unverified" if chains.valid is None else "verified" if by else "unsolved"
        return Solution(
            question=self._task.format(self.tokens),
            answer=self._task.format(answer),
            tokens=answer,
            status=status,
            steps=int(chains.steps[place]),
            q_halt=float(chains.q_halt[place]),
            trace=chains.traces[place],
            solved_by=by,
            samples=self.thinking.samples,
            segments=chains.segments,
        )


def _back(views: Views, number: int, entry: SegmentTrace) -> SegmentTrace:
    """An entry of a chain's trace, in the question's own places and tokens."""
    return dataclasses.replace(
        entry,
        tokens=views.undo(number, entry.tokens),
        confidence=views.undo_places(number, entry.tokens, entry.confidence),
    )
