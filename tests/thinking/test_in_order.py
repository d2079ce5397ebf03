"""Answers that end out of order."""

from __future__ import annotations

import numpy as np

from thinkling.thinking.in_order import InOrder


def test_what_comes_early_waits_for_its_turn() -> None:
    numbers = np.random.default_rng(0).permutation(50).tolist()
    held = InOrder[str]()
    handed_on: list[str] = []
    for count, number in enumerate(numbers, start=1):
        handed_on += held.put(number, str(number))
        assert handed_on == [str(each) for each in range(len(handed_on))]
        assert len(held) == count - len(handed_on)
    assert len(handed_on) == 50
