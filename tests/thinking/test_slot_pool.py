"""The slot pool: questions with several chains, ended together; put and dropped at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.slot_pool import Progress, SlotPool, normal
from thinkling.thinking.slots import SlotMachine

Q_RULE = HaltRule(name="q")
NEVER = HaltRule(name="never")


class Countdown:
    """A thinker whose question says after how many segments it is sure; it answers question and step count."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fails = False

    def fresh_carry(self, batch_size: int) -> Carry:
        return fresh_carry(batch_size, 2, 3, dtype=torch.float32, device=torch.device("cpu"))

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        if self.fails:
            raise RuntimeError("no current")
        self.batches.append(batch.inputs[:, 0].tolist())
        steps = torch.where(carry.halted, 0, carry.steps) + 1
        sure = torch.where(steps >= batch.inputs[:, 0], 1.0, -1.0)
        spoken = torch.stack([batch.inputs[:, 0], steps], dim=1)
        new = Carry(z_H=carry.z_H + 1, z_L=carry.z_L, steps=steps, halted=torch.zeros_like(carry.halted))
        logits = torch.nn.functional.one_hot(spoken, 40).float()
        return new, SegmentOutput(logits=logits, q_halt=sure, q_continue=-sure)


def chains(*numbers: int) -> list[Question]:
    return [Question(inputs=np.array([number, 0])) for number in numbers]


def pool_of(slots: int, thinker: Countdown | None = None, **kept: bool) -> SlotPool[Question, PuzzleBatch]:
    return SlotPool(thinker or Countdown(), PuzzleBatch.of_questions, slots=slots, **kept)


def run_out(pool: SlotPool[Question, PuzzleBatch]) -> list[Progress]:
    """Every progress report until nothing is in work."""
    reports: list[Progress] = []
    while step := pool.step():
        reports += step
    return reports


def test_all_chains_end_as_soon_as_one_satisfies_the_rule() -> None:
    thinker = Countdown()
    pool = pool_of(8, thinker)
    pool.put("a", chains(9, 3, 7), rule=Q_RULE, max_steps=10)
    reports = run_out(pool)
    assert [(report.step, report.ended) for report in reports] == [(1, False), (2, False), (3, True)]
    assert [chain.halted for chain in reports[-1].chains] == [False, True, False]
    assert [chain.number for chain in reports[-1].chains] == [0, 1, 2]
    assert [chain.tokens.tolist() for chain in reports[-1].chains] == [[9, 3], [3, 3], [7, 3]]
    assert thinker.batches == [[9, 3, 7]] * 3
    assert pool.free == 8


def test_the_limit_ends_a_question_that_no_chain_satisfies() -> None:
    pool = pool_of(4)
    pool.put(0, chains(9, 8), rule=Q_RULE, max_steps=2)
    last = run_out(pool)[-1]
    assert last.ended
    assert last.step == 2
    assert not any(chain.halted for chain in last.chains)


def test_slots_are_refilled_while_others_think_on() -> None:
    thinker = Countdown()
    pool = pool_of(3, thinker)
    pool.put("long", chains(5), rule=Q_RULE, max_steps=9)
    pool.put("short", chains(1, 4), rule=Q_RULE, max_steps=9)
    assert pool.free == 0
    assert [report.key for report in pool.step() if report.ended] == ["short"]
    assert pool.free == 2
    pool.put("next", chains(2, 2), rule=Q_RULE, max_steps=9)
    reports = run_out(pool)
    assert thinker.batches == [[5, 1, 4], [5, 2, 2], [5, 2, 2], [5], [5]]
    assert [(report.key, report.step) for report in reports if report.ended] == [("next", 2), ("long", 5)]


def test_dropping_frees_the_slots_at_once() -> None:
    thinker = Countdown()
    pool = pool_of(3, thinker)
    pool.put("kept", chains(3), rule=Q_RULE, max_steps=9)
    pool.put("gone", chains(8, 8), rule=Q_RULE, max_steps=9)
    pool.step()
    pool.drop("gone")
    assert pool.free == 2
    pool.put("before it began", chains(8), rule=Q_RULE, max_steps=9)
    pool.drop("before it began")
    pool.drop("never put")
    assert {report.key for report in run_out(pool)} == {"kept"}
    assert thinker.batches == [[3, 8, 8], [3], [3]]


def test_a_key_is_free_again_after_its_question_has_ended_or_was_dropped() -> None:
    pool = pool_of(1)
    pool.put("key", chains(1), rule=Q_RULE, max_steps=9)
    pool.step()
    pool.put("key", chains(9), rule=Q_RULE, max_steps=9)
    pool.drop("key")
    pool.put("key", chains(2), rule=Q_RULE, max_steps=9)
    assert [int(report.chains[0].tokens[0]) for report in run_out(pool)] == [2, 2]


def test_each_question_has_its_own_rule_and_limit() -> None:
    thinker = Countdown()
    asked: list[list[list[int]]] = []

    def check(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        asked.append(questions.tolist())
        return np.asarray(answers[:, 1] == 2)

    valid = HaltRule(name="valid", check=check)
    pool = pool_of(9, thinker)
    pool.put("q", chains(4), rule=Q_RULE, max_steps=9)
    pool.put("valid", chains(7, 8), rule=valid, max_steps=9)
    pool.put("never", chains(1), rule=NEVER, max_steps=6)
    pool.put("sure", chains(1), rule=HaltRule(name="q", confirmations=2), max_steps=9)
    ends = {report.key: report.step for report in run_out(pool) if report.ended}
    assert ends == {"q": 4, "valid": 2, "never": 6, "sure": 3}
    assert asked == [[[7, 0], [8, 0]]] * 2, "a checker sees only the questions it belongs to"


def test_a_pool_keeps_what_it_was_asked_for() -> None:
    pool = pool_of(2, trace=True, states=True, keep_logits=True)
    pool.put(0, chains(2, 5), rule=Q_RULE, max_steps=9)
    first, last = run_out(pool)
    assert first.chains[0].logits is None, "logits only at the end"
    for chain in last.chains:
        assert chain.logits is not None
        assert chain.logits.argmax(-1).tolist() == chain.tokens.tolist()
        assert chain.confidence is not None
        assert chain.confidence == pytest.approx(math.e / (math.e + 39))
        assert chain.z_H is not None
        assert chain.z_H.dtype == np.float16
        assert chain.z_H.tolist() == [[2.0] * 3] * 2
        assert chain.residual == pytest.approx(0.5)
        assert chain.as_trace().z_H is chain.z_H
    bare = pool_of(2)
    bare.put(0, chains(1), rule=Q_RULE, max_steps=9)
    chain = bare.step()[0].chains[0]
    assert (chain.confidence, chain.z_H, chain.logits) == (None, None, None)


def test_a_start_carry_is_begun_from() -> None:
    pool = pool_of(3, states=True)
    start = Carry(
        z_H=torch.full((2, 2, 3), 4.0),
        z_L=torch.zeros(2, 2, 3),
        steps=torch.tensor([3, 0]),
        halted=torch.zeros(2, dtype=torch.bool),
    )
    pool.put("fresh", chains(9), rule=NEVER, max_steps=1)
    pool.put("begun", chains(9, 9), rule=NEVER, max_steps=2, start=start)
    fresh, begun = pool.step()
    assert fresh.chains[0].z_H is not None
    assert begun.chains[1].z_H is not None
    assert fresh.chains[0].z_H.max() == 1
    assert begun.chains[1].z_H.min() == 5
    assert not begun.ended, "the limit counts from where the question was put"
    assert pool.step()[0].ended


def test_noise_depends_on_seed_chain_and_step_only() -> None:
    def states(slots: int, seed: int, neighbours: int) -> list[list[float]]:
        pool = pool_of(slots, states=True)
        for number in range(neighbours):
            pool.put(number, chains(9), rule=NEVER, max_steps=9)
        pool.put("x", chains(9, 9, 9), rule=NEVER, max_steps=3, noise=0.5, seed=seed, first_number=4)
        reports = [report for report in run_out(pool) if report.key == "x"]
        return [
            [float(chain.z_H.astype(np.float64).sum()) for chain in report.chains if chain.z_H is not None]
            for report in reports
        ]

    alone = states(3, 7, 0)
    first = 0.5 * normal((2, 3), 7, 4, 1)[0].double().sum()
    assert alone[1][0] == pytest.approx(12 + float(first), abs=0.02)
    assert states(9, 7, 4) == alone
    assert states(3, 8, 0) != alone
    assert alone[0] == [6.0] * 3, "the first segment starts where the question alone would"
    assert len({round(value, 4) for value in alone[2]}) == 3
    assert normal((2, 3), 7, 4, 1).tolist() != normal((2, 3), 7, 4, 2).tolist()
    numbers = normal((50, 50), 1, 2, 3)
    assert abs(float(numbers.mean())) < 0.05
    assert float(numbers.std()) == pytest.approx(1, abs=0.03)


def test_nothing_moves_where_the_model_raises() -> None:
    thinker = Countdown()
    pool = pool_of(2, thinker)
    pool.put("a", chains(2, 3), rule=Q_RULE, max_steps=9)
    pool.step()
    thinker.fails = True
    with pytest.raises(RuntimeError, match="no current"):
        pool.step()
    thinker.fails = False
    (report,) = pool.step()
    assert (report.step, report.ended) == (2, True)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="0 slots"):
        pool_of(0)
    pool = pool_of(2)
    for refused, numbers, settings in [
        ("3 chains with 2 of 2 slots free", (1, 1, 1), {}),
        ("0 chains", (), {}),
        ("a limit of 0 segments", (1,), {"max_steps": 0}),
        ("noise of -1", (1,), {"noise": -1.0}),
        ("noise of nan", (1,), {"noise": math.nan}),
        ("a start of 2 slots", (1,), {"start": Countdown().fresh_carry(2)}),
    ]:
        with pytest.raises(InputError, match=refused):
            pool.put("x", chains(*numbers), **{"rule": Q_RULE, "max_steps": 3, **settings})  # type: ignore[arg-type]  # settings of several types
    assert pool.free == 2
    pool.put("x", chains(1), rule=Q_RULE, max_steps=3)
    with pytest.raises(InputError, match="question 'x' twice"):
        pool.put("x", chains(1), rule=Q_RULE, max_steps=3)
    assert pool.step()[0].ended
    assert pool.step() == []


def test_one_chain_thinks_as_in_the_slot_machine() -> None:
    """With others in work, and with a copy of its own, as alone."""
    config = HRMConfig(vocab_size=6, seq_len=9, hidden_size=32, num_heads=2, H_layers=1, L_layers=1)
    model = HRM(config, seed=3).eval()
    with torch.no_grad():
        model.q_head.weight.normal_(generator=torch.Generator().manual_seed(1))
    questions = [Question(inputs=row) for row in np.random.default_rng(0).integers(1, 6, (7, 9))]
    machine = SlotMachine(model, PuzzleBatch.of_questions, NEVER, max_steps=4, slots=7, trace=True)
    answers = list(machine.answers(iter(questions)))

    pool = SlotPool[Question, PuzzleBatch](model, PuzzleBatch.of_questions, slots=14, trace=True)
    for number, question in enumerate(questions):
        pool.put(number, [question, question], rule=NEVER, max_steps=4)
    ended = [report for step in range(4) for report in pool.step() if report.ended]
    assert len(ended) == 7
    for report, answer in zip(ended, answers, strict=True):
        assert report.chains[0].tokens.tolist() == answer.tokens.tolist()
        assert report.chains[0].q_halt == pytest.approx(answer.q_halt, abs=1e-6)
        assert report.chains[0].residual == pytest.approx(answer.trace[-1].residual, abs=1e-5)
        assert report.chains[1].residual == pytest.approx(report.chains[0].residual, abs=1e-5)
