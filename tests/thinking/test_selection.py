"""Which chain to believe."""

from __future__ import annotations

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.thinking.selection import Select, choose

ANSWERS = np.array([[1, 2], [3, 4], [3, 4], [5, 6]])
Q = np.array([0.2, 0.3, 0.4, 0.9])
RESIDUAL = np.array([0.5, 0.1, 0.3, 0.4])
NONE = np.zeros(4, dtype=np.bool_)


@pytest.mark.parametrize(
    ("select", "halted", "valid", "wanted"),
    [
        ("q", NONE, NONE, 3),
        ("vote", NONE, NONE, 2),
        ("residual", NONE, NONE, 1),
        ("first", np.array([False, True, True, False]), NONE, 1),
        ("first", NONE, NONE, 3),
        ("valid", NONE, np.array([False, False, True, True]), 2),
        ("valid", np.array([True, False, False, False]), NONE, 3),
    ],
)
def test_choice(select: Select, halted: np.ndarray, valid: np.ndarray, wanted: int) -> None:
    chosen = choose(select, answers=ANSWERS, q_halt=Q, residual=RESIDUAL, halted=halted, valid=valid)
    assert chosen == wanted


def test_of_equal_chains_the_first_wins() -> None:
    same = np.array([0.5, 0.5, 0.5])
    answers = np.array([[1], [2], [3]])
    none = np.zeros(3, dtype=np.bool_)
    for select in ("q", "vote", "residual", "first"):
        assert choose(select, answers=answers, q_halt=same, residual=same, halted=none) == 0  # type: ignore[arg-type]  # one of them
    two_each = np.array([[1], [2], [2], [1]])
    trust = np.array([0.5, 0.9, 0.1, 0.6])
    chosen = choose(
        "vote", answers=two_each, q_halt=trust, residual=trust, halted=np.zeros(4, dtype=np.bool_)
    )
    assert chosen == 3, (
        "of two answers with as many votes the one with more trust, and its most trusted chain"
    )


def test_valid_needs_a_checker() -> None:
    with pytest.raises(InputError, match="without a checker"):
        choose("valid", answers=ANSWERS, q_halt=Q, residual=RESIDUAL, halted=NONE)
