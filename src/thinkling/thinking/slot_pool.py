"""The slot pool: the steppable machine below every way of answering.

A question has one chain or several: copies of it, or the same question from other carries. Each chain fills a slot. One
step of the pool is one segment of everything in work, whoever asked it. As soon as one chain of a question satisfies
the question's rule all its chains end, and their slots are free for the next.

Shapes: B slots, K chains of a question, L positions, V vocabulary, S = P + L positions with the prefix, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.errors import InputError
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.thinker import Batch, Thinker
from thinkling.thinking.trace import SegmentTrace

B = TypeVar("B", bound=Batch)
Q = TypeVar("Q")


@dataclass(frozen=True, kw_only=True)
class ChainState:
    """One chain after a segment."""

    number: int
    """Its number among the question's chains."""
    tokens: NDArray[np.int64]
    """[L] answer, in the tokens of the chain's own copy of the question."""
    q_halt: float
    """Probability of being right, by the model's own halt value."""
    q_continue: float
    """The continue value as a probability."""
    residual: float
    """Relative change of the high-level state: |z_H' - z_H| / |z_H'|."""
    confidence: NDArray[np.float32] | None = None
    """[L] probability of each answered token; only from a pool with `trace`."""
    z_H: NDArray[np.float16] | None = None
    """[S, D] high-level state after the segment; only from a pool with `states`."""
    logits: Tensor | None = None
    """[L, V] fp32 what the answer was chosen by; only from a pool with `keep_logits`, when the question has ended."""
    halted: bool
    """Whether this chain satisfies the stopping rule, confirmations included."""

    def as_trace(self) -> SegmentTrace:
        """The segment as an entry of a trace; for a pool with `trace`."""
        assert self.confidence is not None, "a pool without trace keeps no confidence"
        return SegmentTrace(
            tokens=self.tokens,
            confidence=self.confidence,
            q_halt=self.q_halt,
            q_continue=self.q_continue,
            residual=self.residual,
            z_H=self.z_H,
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One question after a segment."""

    key: Hashable
    """What the question was put under."""
    step: int
    """Segments that each of its chains has had."""
    chains: tuple[ChainState, ...]
    """[K] all its chains, in their order."""
    ended: bool
    """Whether its slots are free: a chain satisfies the rule, or the limit is reached."""


@dataclass(kw_only=True)
class _Question:
    """A question in work."""

    key: Hashable
    chains: int
    first_number: int
    rule: HaltRule
    max_steps: int
    noise: float
    seed: int
    step: int = 0
    in_work: bool = True
    """False once it has ended or was dropped: its slots go with the next step."""


class SlotPool(Generic[Q, B]):
    """Slots that take questions at any time and think one segment a step.

    The pool belongs to one thread.

    Args:
        model: what thinks; the casts of its weights are the caller's business.
        collate: chains to a batch with one row each.
        slots: chains in work at the same time.
        trace: keep the confidence of every cell.
        states: keep the high-level state; needs memory for [S, D] half-precision values a chain and step.
        keep_logits: keep what an answer was chosen by, when its question has ended.
    """

    def __init__(
        self,
        model: Thinker[B],
        collate: Callable[[Sequence[Q]], B],
        *,
        slots: int,
        trace: bool = False,
        states: bool = False,
        keep_logits: bool = False,
    ) -> None:
        if slots < 1:
            raise InputError(f"{slots} slots", "1 or more", "give another number of slots")
        self.model = model
        self.collate = collate
        self.slots = slots
        self.trace = trace
        self.states = states
        self.keep_logits = keep_logits
        self._questions: dict[Hashable, _Question] = {}
        self._in_work = 0
        self._waiting: list[tuple[_Question, Sequence[Q], Carry | None]] = []
        # The rows of carry and batch: whose chain each is, and for how many segments in a row it was willing to stop.
        self._rows: list[tuple[_Question, int]] = []
        self._agreed: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._carry = model.fresh_carry(0)
        self._batch: B | None = None

    @property
    def in_work(self) -> int:
        """Slots that hold a chain."""
        return self._in_work

    @property
    def free(self) -> int:
        """Slots without work."""
        return self.slots - self.in_work

    def put(
        self,
        key: Hashable,
        chains: Sequence[Q],
        *,
        rule: HaltRule,
        max_steps: int,
        start: Carry | None = None,
        noise: float = 0.0,
        seed: int = 0,
        first_number: int = 0,
    ) -> None:
        """Take a question; it begins with the next step.

        Args:
            key: names the question in `step` and `drop`; free again once the question has ended.
            chains: [K] its chains, each a row of the batch; K <= free.
            rule: what stops the question.
            max_steps: segments after which it stops in any case.
            start: carry of the K chains to begin from; the initial state of the model where not given.
            noise: standard deviation of Gaussian noise that is added to z_H and z_L between two segments.
            seed: of the noise, which depends on (seed, chain, step) only.
            first_number: number of the first of these chains, where others of the question are put apart.

        Raises:
            InputError: no chain, more than are free, no step, negative noise, a start of another size, or a key that
                is in work.
        """
        count = len(chains)
        if not 1 <= count <= self.free:
            raise InputError(
                f"{count} chains with {self.free} of {self.slots} slots free",
                "1 up to the free slots",
                "use fewer samples, or more slots",
            )
        if max_steps < 1:
            raise InputError(f"a limit of {max_steps} segments", "1 or more", "give another number of steps")
        if not 0 <= noise < float("inf"):
            raise InputError(f"noise of {noise}", "0 or more, and finite", "give another noise")
        if start is not None and len(start.steps) != count:
            raise InputError(
                f"a start of {len(start.steps)} slots", f"{count}, one a chain", "correct the start"
            )
        if key in self._questions:
            raise InputError(f"question {key!r} twice", "a key that is not in work", "use another key")
        question = _Question(
            key=key,
            chains=count,
            first_number=first_number,
            rule=rule,
            max_steps=max_steps,
            noise=noise,
            seed=seed,
        )
        self._questions[key] = question
        self._in_work += count
        self._waiting.append((question, chains, start))

    def drop(self, key: Hashable) -> None:
        """Forget a question: its slots are free at once. Nothing happens where it is not in work."""
        question = self._questions.pop(key, None)
        if question is not None:
            question.in_work = False
            self._in_work -= question.chains

    def step(self) -> list[Progress]:
        """One segment of everything in work: what each question says now, in the order they were put.

        An empty list where nothing is in work. Where the model raises, no question has moved.
        """
        self._clear()
        self._fill()
        if self._batch is None or not self._rows:
            return []
        before = self._carry
        after, output = self._segment(before, self._batch)
        answers = output.logits.max(-1).indices
        halted = self._halted(output, answers)
        states = self._states(before, after, output, answers, halted)
        self._carry = after
        progress: list[Progress] = []
        row = 0
        while row < len(self._rows):
            question = self._rows[row][0]
            rows = range(row, row + question.chains)
            question.step += 1
            ended = bool(halted[rows.start : rows.stop].any()) or question.step >= question.max_steps
            chains = tuple(states(place, self.keep_logits and ended) for place in rows)
            progress.append(Progress(key=question.key, step=question.step, chains=chains, ended=ended))
            if ended:
                self.drop(question.key)
            row = rows.stop
        self._add_noise()
        return progress

    def _clear(self) -> None:
        """Let go of the rows whose questions have ended or were dropped."""
        kept = [row for row, (question, _) in enumerate(self._rows) if question.in_work]
        if len(kept) == len(self._rows) or self._batch is None:
            return
        on_device = torch.tensor(kept, dtype=torch.int64, device=self._carry.steps.device)
        self._carry, self._batch = self._carry.select(on_device), self._batch.select(on_device)
        self._rows = [self._rows[row] for row in kept]
        self._agreed = self._agreed[kept]

    def _fill(self) -> None:
        """Give rows to the questions that wait."""
        taken = [entry for entry in self._waiting if entry[0].in_work]
        self._waiting = []
        if not taken:
            return
        starts = [
            self.model.fresh_carry(question.chains) if start is None else start
            for question, _, start in taken
        ]
        self._carry = self._carry.join(*starts)
        offered = self.collate([chain for _, chains, _ in taken for chain in chains])
        offered = offered.to(self._carry.steps.device)
        self._batch = offered if self._batch is None else self._batch.join(offered)
        new = [(question, number) for question, _, _ in taken for number in _numbers(question)]
        self._rows += new
        self._agreed = np.concatenate([self._agreed, np.zeros(len(new), dtype=np.int64)])

    @torch.inference_mode()
    def _segment(self, carry: Carry, batch: B) -> tuple[Carry, SegmentOutput]:
        return self.model.segment(carry, batch)

    def _halted(self, output: SegmentOutput, answers: Tensor) -> NDArray[np.bool_]:
        """Which rows satisfy their rule, each rule asked once. [B]"""
        assert self._batch is not None
        by_rule: dict[HaltRule, list[int]] = {}
        for row, (question, _) in enumerate(self._rows):
            by_rule.setdefault(question.rule, []).append(row)
        halted = np.zeros(len(self._rows), dtype=np.bool_)
        for rule, rows in by_rule.items():
            said = (output.q_halt, output.q_continue, answers, self._batch.inputs)
            if len(by_rule) > 1:
                on_device = torch.tensor(rows, device=answers.device)
                said = (said[0][on_device], said[1][on_device], said[2][on_device], said[3][on_device])
            willing = rule.willing(*said).cpu().numpy()
            self._agreed[rows] = np.where(willing, self._agreed[rows] + 1, 0)
            halted[rows] = self._agreed[rows] >= rule.needed
        return halted

    def _states(
        self,
        before: Carry,
        after: Carry,
        output: SegmentOutput,
        answers: Tensor,
        halted: NDArray[np.bool_],
    ) -> Callable[[int, bool], ChainState]:
        """What a row says now, with or without its logits; every tensor goes to the CPU once."""
        tokens = answers.cpu().numpy()
        halts = torch.sigmoid(output.q_halt).tolist()
        continues = torch.sigmoid(output.q_continue).tolist()
        changes = residuals(before, after).tolist()
        confidence = z_H = None
        if self.trace:
            confidence = torch.softmax(output.logits.float(), dim=-1).amax(dim=-1).cpu().numpy()
        if self.states:
            z_H = after.z_H.to(torch.float16).cpu().numpy()

        def state(row: int, with_logits: bool) -> ChainState:
            return ChainState(
                number=self._rows[row][1],
                tokens=tokens[row],
                q_halt=halts[row],
                q_continue=continues[row],
                residual=changes[row],
                confidence=None if confidence is None else confidence[row],
                z_H=None if z_H is None else z_H[row],
                logits=output.logits[row].float() if with_logits else None,
                halted=bool(halted[row]),
            )

        return state

    def _add_noise(self) -> None:
        """Perturb the carries of the questions that go on with noise."""
        noisy = [
            (row, question, number)
            for row, (question, number) in enumerate(self._rows)
            if question.in_work and question.noise > 0
        ]
        if not noisy:
            return
        carry = self._carry
        rows = torch.tensor([row for row, _, _ in noisy], device=carry.steps.device)
        drawn = torch.stack(
            [
                question.noise * normal(carry.z_H.shape[1:], question.seed, number, question.step)
                for _, question, number in noisy
            ]
        ).to(carry.z_H)
        self._carry = Carry(
            z_H=carry.z_H.index_add(0, rows, drawn[:, 0]),
            z_L=carry.z_L.index_add(0, rows, drawn[:, 1]),
            steps=carry.steps,
            halted=carry.halted,
        )


def _numbers(question: _Question) -> range:
    return range(question.first_number, question.first_number + question.chains)


@torch.no_grad()
def residuals(before: Carry, after: Carry) -> Tensor:
    """Relative change of the high-level state of each slot: |z_H' - z_H| / |z_H'|. [B] fp32."""
    new = after.z_H.float()
    change: Tensor = (new - before.z_H.float()).flatten(1).norm(dim=1)
    size: Tensor = new.flatten(1).norm(dim=1).clamp(min=1e-12)
    return change / size


def normal(shape: Sequence[int], seed: int, chain: int, step: int) -> Tensor:
    """Standard normal numbers for z_H and z_L of one chain, a function of (seed, chain, step) only. [2, S, D] fp32."""
    word = np.random.SeedSequence([seed % 2**63, chain, step]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(word) >> 1)
    return torch.randn(2, *shape, generator=generator)
