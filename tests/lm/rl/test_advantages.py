"""Advantages against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from thinkling.errors import InputError
from thinkling.lm.rl.advantages import SCALE_EPSILON, group_advantages, has_signal, overlong_rewards


def test_the_mean_of_the_group_is_taken_off():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.5, 0.5]])
    expected = torch.tensor([[0.75, -0.25, -0.25, -0.25], [0.25, 0.25, -0.25, -0.25]])
    torch.testing.assert_close(group_advantages(rewards, scale=False), expected)


def test_scaled_by_the_deviation_of_the_group():
    """Rewards 1, 0, 0, 0: mean 1/4, variance (9 + 1 + 1 + 1) / 16 / 3 = 1/4, deviation 1/2."""
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), scale=True)
    expected = torch.tensor([[0.75, -0.25, -0.25, -0.25]]) / (0.5 + SCALE_EPSILON)
    torch.testing.assert_close(advantages, expected)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("group_size", [2, 3, 7, 8])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1.1, 1 / 3, -0.7])
def test_equal_rewards_give_exactly_nothing(reward: float, group_size: int, scale: bool):
    """The mean of seven times 0.1 is not 0.1 in fp32: what is left would be learned from, and with `scale` a thousand
    times as much."""
    rewards = torch.full((2, group_size), reward)
    assert (group_advantages(rewards, scale=scale) == 0).all()
    assert not has_signal(rewards).any()


def test_groups_know_nothing_of_each_other():
    rewards = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.0, 1.0, 1.0]])
    whole = group_advantages(rewards, scale=True)
    alone = torch.cat([group_advantages(row[None], scale=True) for row in rewards])
    assert torch.equal(whole, alone)
    assert has_signal(rewards).tolist() == [True, False, True]


@pytest.mark.parametrize("scale", [False, True])
def test_order_in_the_group_does_not_matter(scale: bool):
    rewards = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        group_advantages(rewards[:, order], scale=scale), group_advantages(rewards, scale=scale)[:, order]
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_rewards_of_any_kind(dtype: torch.dtype):
    advantages = group_advantages(torch.tensor([[1, 0]]).to(dtype), scale=False)
    assert advantages.dtype == torch.float32
    assert advantages.tolist() == [[0.5, -0.5]]
    assert has_signal(torch.tensor([[1, 0]]).to(dtype)).tolist() == [True]


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_no_number(reward: float):
    with pytest.raises(InputError, match=rf"a reward of {reward}.*finite.*correct the function"):
        group_advantages(torch.tensor([[1.0, reward]]), scale=False)


@pytest.mark.parametrize("shape", [(3, 1), (4,)])
def test_a_group_of_one(shape: tuple[int, ...]):
    with pytest.raises(InputError, match="2 completions or more"):
        group_advantages(torch.ones(shape), scale=False)


def test_overlong_punishment():
    """At most 10 tokens, of which the last 4 are the buffer: nothing up to 6, then a quarter for each token."""
    lengths = torch.tensor([1, 6, 7, 8, 9, 10, 10, 3])
    finished = torch.tensor([True, True, True, True, True, True, False, False])
    rewards = overlong_rewards(lengths, finished, max_tokens=10, buffer=4, penalty=2.0)
    # The last one was cut off by a context that ended before the limit did.
    assert rewards.tolist() == [0.0, 0.0, -0.5, -1.0, -1.5, -2.0, -2.0, -2.0]


def test_overlong_punishment_off():
    lengths, finished = torch.tensor([1, 10]), torch.tensor([True, False])
    assert overlong_rewards(lengths, finished, max_tokens=10, buffer=0, penalty=1.0).tolist() == [0.0, 0.0]


def test_overlong_punishment_over_all_tokens():
    lengths, finished = torch.tensor([1, 5, 10]), torch.tensor([True, True, True])
    rewards = overlong_rewards(lengths, finished, max_tokens=10, buffer=10, penalty=1.0)
    torch.testing.assert_close(rewards, torch.tensor([-0.1, -0.5, -1.0]))
