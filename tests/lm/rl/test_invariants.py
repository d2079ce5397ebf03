"""What holds for the weights, from rewards to the update: groups without signal leave them bit-equal."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import small_decoder

from thinkling.lm.model import Decoder
from thinkling.lm.rl.advantages import group_advantages
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.loss import policy_loss
from thinkling.lm.rl.token_logprobs import token_logprobs
from thinkling.training.config import TrainConfig
from thinkling.training.objective import Loss
from thinkling.training.update import Update

VOCABULARY, GROUP, LENGTH = 40, 4, 20


def completions(groups: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(VOCABULARY, (groups * GROUP, LENGTH), generator=generator)
    ends = torch.randint(6, LENGTH + 1, (groups * GROUP, 1), generator=generator)
    places = torch.arange(1, LENGTH)
    return tokens, (places >= 5) & (places < ends)


def loss_of(
    model: Decoder, rewards: Tensor, config: GrpoConfig, *, drift: float = 0.0, rows: Tensor | None = None
) -> Loss:
    """The loss of groups with the given rewards [P, G]; `drift` is by how much the old weights' log-probabilities
    differ, `rows` the order of the completions."""
    tokens, asked = completions(len(rewards))
    advantages = group_advantages(rewards, scale=config.scale_advantages).flatten()
    old = token_logprobs(model, model, tokens, asked)[0].detach()
    old = old + drift * torch.randn(old.shape, generator=torch.Generator().manual_seed(9))
    if rows is not None:
        tokens, asked, advantages, old = (values[rows] for values in (tokens, asked, advantages, old))
    logprobs, _ = token_logprobs(model, model, tokens, asked)
    reference = None
    if config.kl_beta:
        with torch.no_grad():
            reference, _ = token_logprobs(model, model, tokens, asked)
    return policy_loss(logprobs, old, advantages, asked, reference, config=config)


def updated(
    model: Decoder, rewards: Tensor, config: GrpoConfig, optimizer: str = "adamw", **changes
) -> Decoder:
    """A copy of the model after one update of the weights."""
    learner = copy.deepcopy(model)
    settings = TrainConfig(optimizer=optimizer, learning_rate=0.01, warmup_steps=0, weight_decay=0.0)
    update = Update(learner, settings)
    loss = loss_of(learner, rewards, config, **changes)
    (loss.total / loss.count).backward()
    update.apply(1, 0.0)
    return learner


def same(first: Decoder, second: Decoder) -> bool:
    return all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))


@pytest.fixture(scope="module")
def model() -> Decoder:
    return small_decoder(VOCABULARY, seed=1)


OPTIMIZERS = ["adamw", "adam_atan2"]
if hasattr(torch.optim, "Muon"):
    OPTIMIZERS.append("muon")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("reward", [0.0, 0.1, 1.1])
@pytest.mark.parametrize("scale", [False, True])
def test_constant_rewards_leave_the_weights_bit_equal(model, reward, scale, optimizer):
    """Even where the completions were drawn by older weights, and some ratios are clipped."""
    rewards = torch.full((3, GROUP), reward)
    config = GrpoConfig(group_size=GROUP, scale_advantages=scale, kl_beta=0.0)
    assert same(model, updated(model, rewards, config, optimizer, drift=0.5))
    rewards[1, 2] += 0.5
    assert not same(model, updated(model, rewards, config, optimizer, drift=0.5))


@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])
def test_constant_rewards_at_the_reference(model, aggregation):
    """The divergence has no slope where the model still is the reference."""
    config = GrpoConfig(group_size=GROUP, kl_beta=0.1, loss_aggregation=aggregation)
    assert same(model, updated(model, torch.ones(3, GROUP), config))


@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])
def test_order_of_completions_leaves_the_gradient_alone(model, aggregation):
    config = GrpoConfig(group_size=GROUP, loss_aggregation=aggregation, kl_beta=0.1)
    rewards = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 1], [0.1, 1.1, 0, 0]])
    order = torch.randperm(rewards.numel(), generator=torch.Generator().manual_seed(4))
    gradients = []
    for rows in (None, order):
        learner = copy.deepcopy(model)
        loss_of(learner, rewards, config, drift=0.3, rows=rows).total.backward()
        gradients.append([parameter.grad for parameter in learner.parameters()])
    for first, second in zip(*gradients, strict=True):
        assert first.abs().max() > 0
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4 * float(first.abs().max()))


def test_learning_makes_rewarded_completions_likelier(model):
    """One update moves probability from completions below the mean of their group to those above it."""
    rewards = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 1], [0.1, 1.1, 0, 0]])
    learner = updated(model, rewards, GrpoConfig(group_size=GROUP, kl_beta=0.0))
    tokens, asked = completions(3)
    with torch.no_grad():
        before, after = (token_logprobs(each, each, tokens, asked)[0].sum(-1) for each in (model, learner))
    advantages = group_advantages(rewards, scale=False).flatten()
    assert float(((after - before) * advantages).sum()) > 0
