"""Halting decisions in training and at inference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thinkling.errors import InputError
from thinkling.thinking.halting import (
    HaltingConfig,
    HaltRule,
    exploration_least_steps,
    halt_in_training,
    wants_to_halt,
)
from thinkling.thinking.halting_loss import continue_target

Q_HALT, Q_CONTINUE = torch.tensor([1.0, -1.0, 0.0, 2.0]), torch.tensor([2.0, -2.0, 0.0, 1.0])


def test_learning_decides_what_halts() -> None:
    assert wants_to_halt(Q_HALT, Q_CONTINUE, "q_learning").tolist() == [False, True, False, True]
    assert wants_to_halt(Q_HALT, Q_CONTINUE, "halt_only").tolist() == [True, False, False, True]


def test_least_steps_delay_and_the_limit_ends() -> None:
    steps, least = torch.tensor([1, 1, 4, 1]), torch.tensor([0, 0, 0, 2])
    halted = halt_in_training(Q_HALT, Q_CONTINUE, steps, least, learning="halt_only", limit=4)
    assert halted.tolist() == [True, False, True, False]


def least_steps(step: int, slots: np.ndarray) -> np.ndarray:
    return exploration_least_steps(3, step, slots, exploration=0.3, limit=4)


def test_the_limit_grows() -> None:
    config = HaltingConfig(max_steps=5, first_limit=2, limit_growth=10)
    assert [config.limit_at(step) for step in (1, 9, 10, 25, 30, 1000)] == [2, 2, 3, 4, 5, 5]
    assert HaltingConfig(max_steps=5, first_limit=3).limit_at(1000) == 3
    assert HaltingConfig(max_steps=5).limit_at(1) == 5


def test_exploration_depends_on_seed_step_and_slot_only() -> None:
    slots = np.arange(5000)
    drawn = least_steps(17, slots)
    assert np.array_equal(drawn[100:200], least_steps(17, slots[100:200]))
    assert not np.array_equal(drawn, least_steps(18, slots))
    assert np.mean(drawn > 0) == pytest.approx(0.3, abs=0.03)
    assert set(drawn) == {0, 2, 3, 4}
    assert not exploration_least_steps(3, 17, slots, exploration=0.0, limit=4).any()


def test_continue_target() -> None:
    target = continue_target(torch.tensor([0.0, 0.0]), torch.tensor([5.0, 5.0]), torch.tensor([True, False]))
    assert target.tolist() == pytest.approx([0.5, 0.99331], abs=1e-4)


def test_rules() -> None:
    answers, questions = torch.tensor([[1], [2], [3], [4]]), torch.tensor([[1], [0], [3], [0]])
    seen = (Q_HALT, Q_CONTINUE, answers, questions)
    assert HaltRule(name="q").willing(*seen).tolist() == [True, False, False, True]
    assert HaltRule(name="q", threshold=0.8).willing(*seen).tolist() == [False, False, False, True]
    assert HaltRule(name="q", learning="q_learning").willing(*seen).tolist() == [False, True, False, True]
    assert not HaltRule(name="never").willing(*seen).any()
    rule = HaltRule(name="valid", check=lambda asked, said: (asked == said).all(1))
    assert rule.willing(*seen).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"exploration": 1.5}, "exploration"),
        ({"threshold": 1.0}, "threshold"),
        ({"confirmations": -1}, "confirmations"),
        ({"first_limit": 17}, "first_limit"),
        ({"limit_growth": -1}, "limit_growth"),
    ],
)
def test_impossible_settings(change: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        HaltingConfig(**change)


def test_validity_needs_a_checker() -> None:
    with pytest.raises(InputError, match="checker"):
        HaltRule(name="valid")
