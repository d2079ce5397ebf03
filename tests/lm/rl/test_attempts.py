"""Chances of groups, against counting every group."""

from __future__ import annotations

import itertools

import pytest

from thinkling.lm.rl.attempts import Attempts, all_of_group, draws_per_group, same_in_group


@pytest.mark.parametrize("values", [(1, 0, 0, 1, 0, 0), (1.1, 0.1, 0.1, 0.0, 0.1, 1.1), (0.5,) * 6])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_the_chance_of_equal_rewards_is_that_of_all_groups(values: tuple[float, ...], size: int) -> None:
    groups = list(itertools.combinations(values, size))
    share = sum(len(set(group)) == 1 for group in groups) / len(groups)
    assert same_in_group(values, size) == pytest.approx(share)
    right = sum(value >= 1 for value in values)
    share = sum(all(value >= 1 for value in group) for group in groups) / len(groups)
    assert all_of_group(right, len(values), size) == pytest.approx(share)


def test_rounding_makes_no_difference() -> None:
    assert same_in_group([0.1 + 0.2, 0.3, 0.30000001], 3) == 1


@pytest.mark.parametrize(
    ("share", "most", "draws"), [(0.0, 4, 1.0), (0.5, 2, 1.75), (1.0, 4, 5.0), (0.9, 0, 1.0)]
)
def test_draws_of_a_group(share: float, most: int, draws: float) -> None:
    assert draws_per_group(share, most) == pytest.approx(draws)


def test_partly_right_is_not_solved() -> None:
    attempts = Attempts(
        answers=(1.0, 0.99, 0.0, 1.0),
        rewards=(1.1, 1.0, 0.1, 1.0),
        well_formed=3,
        truncated=0,
        tokens=40,
        thinking_tokens=20,
    )
    assert (attempts.n, attempts.right, attempts.pass_rate) == (4, 2, 0.5)
