"""A stream of questions, each with its chains, on the slots of one pool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError
from thinkling.puzzles.breadth import QuestionChains, Thinking
from thinkling.puzzles.reasoner import Reasoner
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.in_order import AHEAD, InOrder
from thinkling.thinking.slot_pool import SlotPool
from thinkling.thinking.thinker import Thinker


def think(
    reasoner: Reasoner,
    task: Task,
    questions: Iterable[Question],
    thinking: Thinking,
    rule: HaltRule,
    *,
    max_steps: int,
    slots: int,
    thinker: Thinker[PuzzleBatch] | None = None,
    trace: bool = False,
    states: bool = False,
    ordered: bool = True,
) -> Iterator[tuple[int, QuestionChains]]:
    """The questions with their numbers as they end, or in input order. Memory is bounded by the slots.

    Args:
        reasoner: the network; the casts of its weights are the caller's business.
        task: whose symmetries and checker are used.
        questions: a stream.
        thinking: how each is thought about; its `halt` and `steps` are what `rule` and `max_steps` were made of.
        rule: what stops a question.
        max_steps: limit of segments of each chain.
        slots: chains in work at the same time.
        thinker: what thinks, where that is not the bare network.
        trace: keep what every segment said.
        states: keep the high-level state in the trace.
        ordered: in input order.

    Raises:
        InputError: the task or the slots do not allow it.
    """
    thinking.check_slots(slots)
    thinking.check_task(task)
    if max_steps < 1:
        raise InputError(f"a limit of {max_steps} steps", "1 or more", "give another number of steps")
    pool = SlotPool[Question, PuzzleBatch](
        thinker or reasoner, PuzzleBatch.of_questions, slots=slots, trace=trace or states, states=states
    )
    waiting = enumerate(questions)
    in_work: dict[int, QuestionChains] = {}
    early = InOrder[tuple[int, QuestionChains]]()

    def fill() -> None:
        # Chains of questions in work come before new questions, and the longest waiting ones before others.
        for question in in_work.values():
            if question.wants_slots > pool.free:
                return
            question.fill()
        while pool.free and len(early) < AHEAD * slots:
            number, asked = next(waiting, (-1, None))
            if asked is None:
                return
            question = in_work[number] = QuestionChains(
                reasoner, task, pool, number, asked, thinking, rule=rule, max_steps=max_steps, number=number
            )
            question.fill()
            if question.wants_slots > pool.free:
                return
            question.fill()

    while True:
        fill()
        progress = pool.step()
        if not progress:
            return
        for now in progress:
            number, _ = cast(tuple[int, int], now.key)  # the key that `QuestionChains.fill` has put
            in_work[number].take(now)
        for number in [number for number, question in in_work.items() if question.ended]:
            question = in_work.pop(number)
            question.drop()
            ended = (number, question)
            yield from early.put(number, ended) if ordered else [ended]
