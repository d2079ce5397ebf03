"""Slots: one mechanism for training and for inference.

A slot holds one question, its carry and its step count. In training a halted slot takes the next training example; at
inference it takes the next waiting question, and when none waits it is dropped: the batch shrinks with the work.

Shapes: B slots, L positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltLearning, HaltRule, halt_in_training
from thinkling.thinking.halting_loss import continue_target
from thinkling.thinking.in_order import InOrder
from thinkling.thinking.slot_pool import SlotPool
from thinkling.thinking.thinker import Batch, Thinker
from thinkling.thinking.trace import SegmentTrace

Forward = Callable[[Carry, Any], tuple[Carry, SegmentOutput]]
"""One segment of a carry and a batch: resets the slots that come in halted, runs the cycles, returns a carry in which
no slot is halted."""


B = TypeVar("B", bound=Batch)
Q = TypeVar("Q")


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Slots(Generic[B]):
    """The slots of a training run."""

    carry: Carry
    batch: B
    refills: Tensor
    """[B] integer: examples each slot has taken so far, the present one included."""

    def refill(self, take: Callable[[Tensor, Tensor], B]) -> Slots[B]:
        """Give every halted slot its next example; the others keep theirs.

        Args:
            take: (slots [K], how many examples each has had [K]), both on the CPU -> their next examples, a batch of
                K where the slots are.
        """
        halted = self.carry.halted
        # Whoever draws examples works on the host: one copy tells it all, where each further one would wait again.
        on_host = torch.stack([halted.to(self.refills.dtype), self.refills]).cpu()
        empty = on_host[0].nonzero().squeeze(-1)
        if empty.numel() == 0:
            return self
        offered = take(empty, on_host[1, empty])
        batch = self.batch.put(empty.to(halted.device, non_blocking=True), offered)
        return Slots(carry=self.carry, batch=batch, refills=self.refills + halted)

    def refill_from(self, ready: B) -> Slots[B]:
        """The same with examples that are there already: nothing is read on the host.

        Args:
            ready: the next example of every slot, halted or not; a batch of B where the slots are.
        """
        halted = self.carry.halted
        rows = torch.arange(len(halted), device=halted.device)
        batch = self.batch.join(ready).select(torch.where(halted, rows + len(rows), rows))
        return Slots(carry=self.carry, batch=batch, refills=self.refills + halted)


@dataclass(frozen=True, kw_only=True)
class TrainingSegment:
    """One segment of every slot, with the halting decision and the target of the continue value."""

    carry: Carry
    output: SegmentOutput
    target_q_continue: Tensor | None


def training_segment(
    forward: Forward,
    carry: Carry,
    batch: Batch,
    *,
    learning: HaltLearning,
    limit: int,
    least_steps: Tensor,
) -> TrainingSegment:
    """Run one segment with gradient, decide who halts, and look one segment ahead where Q-learning needs it.

    Args:
        forward: the model (or its data-parallel wrapper).
        carry: state of B slots; halted ones start anew.
        batch: what the slots hold.
        learning: which Q values are learned.
        limit: segments after which a slot halts in any case.
        least_steps: [B] steps before which exploration forbids halting.
    """
    carry, output = forward(carry, batch)
    with torch.no_grad():
        halted = halt_in_training(
            output.q_halt, output.q_continue, carry.steps, least_steps, learning=learning, limit=limit
        )
        target = None
        if learning == "q_learning":
            _, ahead = forward(carry, batch)
            target = continue_target(ahead.q_halt, ahead.q_continue, carry.steps >= limit)
    return TrainingSegment(carry=carry.with_halted(halted), output=output, target_q_continue=target)


# --- inference --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came out of a slot."""

    index: int
    """Place of the question in the stream."""
    tokens: NDArray[np.int64]
    """[L] answer."""
    logits: Tensor | None = None
    """[L, V] what the answer was chosen by, where asked for."""
    steps: int
    """Segments spent."""
    q_halt: float
    """Probability of being right, by the model's own halt value."""
    halted: bool
    """True where the rule stopped the slot, False where the step limit did."""
    trace: tuple[SegmentTrace, ...] = ()
    """One entry a segment, where asked for."""


class SlotMachine(Generic[Q, B]):
    """Answers a stream of questions with a fixed number of slots.

    Memory is bounded by the slots, not by the stream: at most `slots` questions are in work, and in input order at most
    `slots * max_steps` finished answers wait for an earlier one.

    Args:
        model: what thinks.
        collate: questions to a batch with one row each.
        rule: what stops a slot.
        max_steps: segments after which a slot stops in any case.
        slots: questions in work at the same time.
        trace: keep what every segment said.
        keep_logits: keep what an answer was chosen by.
    """

    def __init__(
        self,
        model: Thinker[B],
        collate: Callable[[Sequence[Q]], B],
        rule: HaltRule,
        *,
        max_steps: int,
        slots: int = 64,
        trace: bool = False,
        keep_logits: bool = False,
    ) -> None:
        self.model = model
        self.collate = collate
        self.rule = rule
        self.max_steps = max_steps
        self.slots = slots
        self.trace = trace
        self.keep_logits = keep_logits

    def answers(self, questions: Iterable[Q], *, ordered: bool = True) -> Iterator[Answer]:
        """Answers as their slots halt, or in input order."""
        finished = self._finished(iter(questions))
        return _in_order(finished) if ordered else finished

    def _finished(self, questions: Iterator[Q]) -> Iterator[Answer]:
        pool = SlotPool[Q, B](
            self.model, self.collate, slots=self.slots, trace=self.trace, keep_logits=self.keep_logits
        )
        waiting = enumerate(questions)
        traces: dict[int, list[SegmentTrace]] = {}
        while True:
            for place, question in itertools.islice(waiting, pool.free):
                pool.put(place, [question], rule=self.rule, max_steps=self.max_steps)
                traces[place] = []
            progress = pool.step()
            if not progress:
                return
            for now in progress:
                place, chain = cast(int, now.key), now.chains[0]
                if self.trace:
                    traces[place].append(chain.as_trace())
                if now.ended:
                    yield Answer(
                        index=place,
                        tokens=chain.tokens,
                        logits=chain.logits,
                        steps=now.step,
                        q_halt=chain.q_halt,
                        halted=chain.halted,
                        trace=tuple(traces.pop(place)),
                    )


def _in_order(answers: Iterator[Answer]) -> Iterator[Answer]:
    early = InOrder[Answer]()
    for answer in answers:
        yield from early.put(answer.index, answer)
