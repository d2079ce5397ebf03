"""The slot machine: order, refilling, shrinking, and the same answers as one question at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.halting import HaltRule, HaltRuleName
from thinkling.thinking.slots import SlotMachine, Slots


class Countdown:
    """A thinker whose question says after how many segments it is sure; it answers question and step count."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def fresh_carry(self, batch_size: int) -> Carry:
        return fresh_carry(batch_size, 1, 1, dtype=torch.float32, device=torch.device("cpu"))

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        self.batches.append(len(carry.steps))
        steps = torch.where(carry.halted, 0, carry.steps) + 1
        sure = torch.where(steps >= batch.inputs[:, 0], 1.0, -1.0)
        spoken = torch.stack([batch.inputs[:, 0], steps], dim=1)
        new = Carry(z_H=carry.z_H, z_L=carry.z_L, steps=steps, halted=torch.zeros_like(carry.halted))
        logits = torch.nn.functional.one_hot(spoken, 40).float()
        return new, SegmentOutput(logits=logits, q_halt=sure, q_continue=-sure)


def asked(numbers: list[int]) -> Iterator[Question]:
    return (Question(inputs=np.array([number, 0])) for number in numbers)


NUMBERS = [3, 1, 9, 2, 2, 20, 1, 5, 1, 1, 4]


@pytest.mark.parametrize("slots", [1, 2, 4, 50])
def test_answers_come_in_order_with_the_steps_each_needs(slots: int) -> None:
    machine = SlotMachine(
        Countdown(), PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=10, slots=slots
    )
    answers = list(machine.answers(asked(NUMBERS)))
    assert [answer.index for answer in answers] == list(range(len(NUMBERS)))
    assert [answer.steps for answer in answers] == [min(number, 10) for number in NUMBERS]
    assert [answer.tokens[0] for answer in answers] == NUMBERS
    assert [answer.halted for answer in answers] == [number <= 10 for number in NUMBERS]


def test_answers_as_they_halt() -> None:
    machine = SlotMachine(Countdown(), PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=10, slots=3)
    assert [answer.index for answer in machine.answers(asked([3, 1, 2, 1]), ordered=False)] == [1, 2, 3, 0]


def test_slots_stay_full_and_shrink_at_the_end() -> None:
    thinker = Countdown()
    machine = SlotMachine(thinker, PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=10, slots=4)
    list(machine.answers(asked([1] * 8 + [5, 2])))
    assert thinker.batches == [4, 4, 2, 2, 1, 1, 1]


def test_confirmations_must_be_in_a_row() -> None:
    machine = SlotMachine(
        Countdown(), PuzzleBatch.of_questions, HaltRule(name="q", confirmations=2), max_steps=10, slots=4
    )
    assert [answer.steps for answer in machine.answers(asked([1, 3, 9]))] == [3, 5, 10]


def test_never_runs_every_step() -> None:
    machine = SlotMachine(Countdown(), PuzzleBatch.of_questions, HaltRule(name="never"), max_steps=6, slots=2)
    assert [answer.steps for answer in machine.answers(asked([1, 3]))] == [6, 6]


def test_an_endless_stream_takes_questions_only_as_slots_free_up() -> None:
    taken = 0

    def endless() -> Iterator[Question]:
        nonlocal taken
        while True:
            taken += 1
            yield Question(inputs=np.array([2, 0]))

    answers = SlotMachine(
        Countdown(), PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=4, slots=3
    ).answers(endless())
    for _ in range(30):
        next(answers)
    assert taken <= 30 + 2 * 3


def test_no_question_no_answer() -> None:
    assert (
        list(
            SlotMachine(Countdown(), PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=4).answers(
                iter(())
            )
        )
        == []
    )


@pytest.mark.parametrize("name", ["q", "never", "valid"])
def test_a_batch_answers_as_each_alone(name: HaltRuleName) -> None:
    config = HRMConfig(vocab_size=6, seq_len=9, hidden_size=32, num_heads=2, H_layers=1, L_layers=1)
    model = HRM(config, seed=3).eval()
    with torch.no_grad():
        model.q_head.weight.normal_(generator=torch.Generator().manual_seed(1))
        assert model.q_head.bias is not None
        model.q_head.bias.zero_()
    questions = np.random.default_rng(0).integers(1, 6, (23, 9))
    rule = HaltRule(name=name, check=lambda asked, said: (asked + said).sum(1) % 3 == 0)

    def answered(slots: int) -> list[tuple[int, list[int]]]:
        machine = SlotMachine(model, PuzzleBatch.of_questions, rule, max_steps=5, slots=slots)
        stream = (Question(inputs=question) for question in questions)
        return [(answer.steps, answer.tokens.tolist()) for answer in machine.answers(stream)]

    alone = answered(1)
    assert answered(8) == alone
    assert answered(64) == alone
    assert name == "never" or len({steps for steps, _ in alone}) > 1


def test_trace_has_one_entry_a_segment() -> None:
    machine = SlotMachine(
        Countdown(), PuzzleBatch.of_questions, HaltRule(name="q"), max_steps=10, slots=2, trace=True
    )
    answers = list(machine.answers(asked([3, 1, 2])))
    assert [len(answer.trace) for answer in answers] == [3, 1, 2]
    assert [entry.tokens[1] for entry in answers[0].trace] == [1, 2, 3]
    written = answers[0].trace[-1].as_json()
    assert set(written) == {"tokens", "confidence", "q_halt", "q_continue", "residual"}


def test_only_halted_slots_are_refilled() -> None:
    carry = Countdown().fresh_carry(3).with_halted(torch.tensor([True, False, True]))
    batch = PuzzleBatch(
        inputs=torch.zeros(3, 2, dtype=torch.int64),
        labels=torch.zeros(3, 2, dtype=torch.int64),
        puzzle_ids=torch.zeros(3, dtype=torch.int64),
    )
    slots = Slots(carry=carry, batch=batch, refills=torch.tensor([4, 1, 0]))

    def take(empty: torch.Tensor, refills: torch.Tensor) -> PuzzleBatch:
        tokens = torch.stack([empty, refills], dim=1)
        return PuzzleBatch(inputs=tokens, labels=tokens + 1, puzzle_ids=empty)

    refilled = slots.refill(take)
    assert refilled.batch.inputs.tolist() == [[0, 4], [0, 0], [2, 0]]
    assert refilled.refills.tolist() == [5, 1, 1]
    assert slots.batch.inputs.sum() == 0
