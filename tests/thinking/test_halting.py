"""Halting decisions in training and at inference."""

from __future__ import annotations

from dataclasses import replace

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

CONFIG = HaltingConfig(max_steps=4, exploration=0.3)
Q_HALT, Q_CONTINUE = torch.tensor([1.0, -1.0, 0.0, 2.0]), torch.tensor([2.0, -2.0, 0.0, 1.0])


def test_learning_decides_what_halts() -> None:
    assert wants_to_halt(Q_HALT, Q_CONTINUE, "q_learning").tolist() == [False, True, False, True]
    assert wants_to_halt(Q_HALT, Q_CONTINUE, "halt_only").tolist() == [True, False, False, True]


def test_least_steps_delay_and_the_limit_ends() -> None:
    steps, least = torch.tensor([1, 1, 4, 1]), torch.tensor([0, 0, 0, 2])
    halted = halt_in_training(Q_HALT, Q_CONTINUE, steps, least, replace(CONFIG, learning="halt_only"))
    assert halted.tolist() == [True, False, True, False]


def test_exploration_depends_on_seed_step_and_slot_only() -> None:
    slots = np.arange(5000)
    drawn = exploration_least_steps(3, 17, slots, CONFIG)
    assert np.array_equal(drawn[100:200], exploration_least_steps(3, 17, slots[100:200], CONFIG))
    assert not np.array_equal(drawn, exploration_least_steps(3, 18, slots, CONFIG))
    assert np.mean(drawn > 0) == pytest.approx(0.3, abs=0.03)
    assert set(drawn) == {0, 2, 3, 4}
    assert not exploration_least_steps(3, 17, slots, replace(CONFIG, exploration=0.0)).any()


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
    ],
)
def test_impossible_settings(change: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        HaltingConfig(**change)


def test_validity_needs_a_checker() -> None:
    with pytest.raises(InputError, match="checker"):
        HaltRule(name="valid")
