"""K carries of a question: the one with the lowest loss, and no other, gets gradient.

Shapes: B questions, K carries of each, R = B * K rows, L positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from thinkling.data.batch import PuzzleBatch
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.slots import Slots
from thinkling.thinking.winner_take_all import winner_segment

B, K, L, V = 2, 3, 4, 5
R = B * K


@dataclass
class TableModel:
    """Logits and Q values looked up by the row's number, which its state holds, so that gradients can be told apart."""

    logits: Tensor
    q_halt: Tensor
    calls: list[tuple[int, bool]]

    def __call__(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        self.calls.append((len(batch.inputs), torch.is_grad_enabled()))
        rows = carry.z_L[:, 0, 0].long()
        after = Carry(
            z_H=carry.z_H + 1, z_L=carry.z_L, steps=carry.steps + 1, halted=torch.zeros_like(carry.halted)
        )
        output = SegmentOutput(
            logits=self.logits[rows], q_halt=self.q_halt[rows], q_continue=torch.zeros(len(rows))
        )
        return after, output


def model_with(right: dict[int, float], q_halt: dict[int, float]) -> TableModel:
    """Rows whose logit of the right token (2) and whose halt value are as given, else 0 and -1."""
    logits = torch.zeros(R, L, V)
    values = torch.full((R,), -1.0)
    for row, value in right.items():
        logits[row, :, 2] = value
    for row, value in q_halt.items():
        values[row] = value
    return TableModel(logits.requires_grad_(), values.requires_grad_(), [])


def state() -> Slots[PuzzleBatch]:
    number = torch.arange(R).float().view(R, 1, 1).expand(R, L, 1)
    labels = torch.full((R, L), 2)
    return Slots(
        carry=Carry(
            z_H=10 * number,
            z_L=number,
            steps=torch.full((R,), 4),
            halted=torch.zeros(R, dtype=torch.bool),
        ),
        batch=PuzzleBatch(inputs=labels, puzzle_ids=torch.arange(R) // K, labels=labels),
        refills=torch.ones(R, dtype=torch.int64),
    )


def one_segment(model: TableModel, halting: HaltingConfig) -> tuple[Slots[PuzzleBatch], Tensor]:
    before = state()
    assert before.batch.labels is not None
    after, losses = winner_segment(
        model,
        before,
        before.batch.labels,
        carries=K,
        step=1,
        slots=np.arange(B),
        halting=halting,
        seed=0,
        loss="softmax",
    )
    losses.total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    return after, losses.exact_accuracy


HALTING = HaltingConfig(learning="halt_only", exploration=0.0)


def test_gradient_goes_through_the_best_row_of_each_question_only() -> None:
    model = model_with(right={0: 1.0, 2: 3.0, 4: 2.0}, q_halt={})
    one_segment(model, HALTING)
    assert model.logits.grad is not None
    assert model.q_halt.grad is not None
    moved = model.logits.grad.abs().flatten(1).sum(1) > 0
    assert moved.tolist() == [False, False, True, False, True, False]
    assert (model.q_halt.grad != 0).tolist() == moved.tolist()
    assert model.calls == [(R, False), (B, True)]


def test_a_question_halts_with_all_its_carries_when_the_winner_does() -> None:
    model = model_with(right={1: 3.0, 5: 3.0}, q_halt={1: 2.0, 3: 2.0})
    after, exact = one_segment(model, HALTING)
    assert after.carry.halted.tolist() == [True] * K + [False] * K
    assert after.carry.steps.tolist() == [5] * R
    assert int(exact) == 1
    limited, _ = one_segment(
        model_with(right={}, q_halt={}), HaltingConfig(learning="halt_only", max_steps=5)
    )
    assert limited.carry.halted.all()


@pytest.mark.parametrize("learning", ["halt_only", "q_learning"])
def test_every_carry_goes_on(learning: str) -> None:
    model = model_with(right={1: 3.0, 5: 3.0}, q_halt={})
    halting = HaltingConfig(learning=learning, exploration=0.0)  # type: ignore[arg-type]  # of the two there are
    after, _ = one_segment(model, halting)
    assert after.carry.z_H[:, 0, 0].tolist() == [10 * row + 1 for row in range(R)]
    assert after.carry.z_L[:, 0, 0].tolist() == list(range(R))
    assert after.refills.tolist() == [1] * R
    assert not after.carry.z_H.requires_grad


def test_a_carry_that_is_not_finite_is_not_hidden_by_the_others() -> None:
    """The trainer refuses a step whose loss is not finite; a poisoned carry must reach it, or it would stay."""
    model = model_with(right={0: 3.0, 1: float("nan"), 4: 2.0}, q_halt={})
    before = state()
    assert before.batch.labels is not None
    _, losses = winner_segment(
        model,
        before,
        before.batch.labels,
        carries=K,
        step=1,
        slots=np.arange(B),
        halting=HALTING,
        seed=0,
        loss="softmax",
    )
    assert torch.isnan(losses.total)
