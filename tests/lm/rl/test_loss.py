"""The loss and its gradient against numbers worked out by hand, for every setting, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.loss import policy_loss
from thinkling.training.objective import Loss

CONFIG = GrpoConfig(max_tokens=10, kl_beta=0.0)

RATIOS = torch.tensor([[1.5, 1.0, 1.0], [0.5, 1.0, 1.5]])
"""A good completion of one token and a bad one of three."""
ADVANTAGES = torch.tensor([1.0, -1.0])
MASK = torch.tensor([[True, False, False], [True, True, True]])


def example(old: float = 0.25) -> tuple[Tensor, Tensor]:
    """Log-probabilities with the ratios above, and the old ones."""
    old_logprobs = torch.full((2, 3), math.log(old))
    return (old_logprobs + RATIOS.log()).requires_grad_(), old_logprobs


def mean_and_gradient(loss: Loss, logprobs: Tensor) -> tuple[float, Tensor]:
    mean = loss.total / loss.count
    (gradient,) = torch.autograd.grad(mean, logprobs)
    return mean.item(), gradient


def shares(loss: Loss) -> dict[str, float]:
    return {name: float(total) / float(count) for name, (total, count) in loss.metrics.items()}


# Of the four tokens the first is clipped at 1.28 from above and the second at 0.8 from below: neither has a gradient.
# Losses -r A: -1.28 | 0.8, 1, 1.5. Gradients -r A: 0 | 0, 1, 1.5.
@pytest.mark.parametrize(
    ("aggregation", "mean", "divisors"),
    [
        ("token", (-1.28 + 0.8 + 1 + 1.5) / 4, [4, 4]),
        ("sequence", (-1.28 / 1 + (0.8 + 1 + 1.5) / 3) / 2, [2, 6]),
        ("constant", (-1.28 + 0.8 + 1 + 1.5) / (2 * 10), [20, 20]),
    ],
)
def test_aggregations(aggregation, mean, divisors):
    logprobs, old = example()
    loss = policy_loss(logprobs, old, ADVANTAGES, MASK, config=replace(CONFIG, loss_aggregation=aggregation))
    got, gradient = mean_and_gradient(loss, logprobs)
    assert got == pytest.approx(mean, abs=1e-6)
    expected = torch.tensor([[0, 0, 0], [0, 1, 1.5]]) / torch.tensor(divisors)[:, None]
    torch.testing.assert_close(gradient, expected)


def test_shares_of_clipped_tokens():
    logprobs, old = example()
    said = shares(policy_loss(logprobs, old, ADVANTAGES, MASK, config=CONFIG))
    expected = {"ratio": (1.5 + 0.5 + 1 + 1.5) / 4, "clipped_low": 0.25, "clipped_high": 0.25}
    assert said == pytest.approx(expected)


@pytest.mark.parametrize(
    ("clip_high", "loss", "gradient"),
    [
        (0.2, -1.2, 0.0),  # PPO's symmetric clip
        (0.28, -1.25, -1.25),  # clip-higher lets this token go further
    ],
)
def test_clip_higher(clip_high, loss, gradient):
    old = torch.full((1, 1), math.log(0.25))
    logprobs = (old + math.log(1.25)).requires_grad_()
    config = replace(CONFIG, clip_low=0.2, clip_high=clip_high)
    mask = torch.ones(1, 1, dtype=torch.bool)
    got = mean_and_gradient(policy_loss(logprobs, old, torch.ones(1), mask, config=config), logprobs)
    assert got[0] == pytest.approx(loss)
    assert got[1].item() == pytest.approx(gradient)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (0.5, 1.0, -0.5, -0.5),  # a good token that became less likely is made likelier however far it went
        (0.5, -1.0, 0.8, 0.0),
        (1.5, 1.0, -1.28, 0.0),
        (1.5, -1.0, 1.5, 1.5),  # a bad token that became likelier is made less likely however far it went
        (1.0, 0.5, -0.5, -0.5),
        (1.0, -0.5, 0.5, 0.5),
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_clip_is_a_lower_bound(ratio, advantage, loss, gradient):
    old = torch.full((1, 1), -1.0)
    logprobs = (old + math.log(ratio)).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    done = policy_loss(logprobs, old, torch.tensor([advantage]), mask, config=CONFIG)
    got = mean_and_gradient(done, logprobs)
    assert got[0] == pytest.approx(loss, abs=1e-6)
    assert got[1].item() == pytest.approx(gradient, abs=1e-6)


def test_divergence_from_the_reference():
    """k3 at d = ln 2 and d = -ln 2: 2 - ln 2 - 1 and 1/2 + ln 2 - 1; its slope 1 - e^d: -1 and 1/2."""
    logprobs = torch.full((1, 2), -1.0, requires_grad=True)
    reference = torch.tensor([[-1.0 + math.log(2), -1.0 - math.log(2)]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    config = replace(CONFIG, kl_beta=0.5)
    loss = policy_loss(logprobs, logprobs.detach(), torch.zeros(1), mask, reference, config=config)
    mean, gradient = mean_and_gradient(loss, logprobs)
    k3 = [1 - math.log(2), math.log(2) - 0.5]
    assert mean == pytest.approx(0.5 * sum(k3) / 2, abs=1e-6)
    torch.testing.assert_close(gradient, 0.5 * torch.tensor([[-1.0, 0.5]]) / 2)
    assert shares(loss)["kl"] == pytest.approx(sum(k3) / 2, abs=1e-6)


def test_no_divergence_without_a_reference():
    logprobs, old = example()
    with_beta = policy_loss(logprobs, old, ADVANTAGES, MASK, config=replace(CONFIG, kl_beta=0.5))
    assert torch.equal(with_beta.total, policy_loss(logprobs, old, ADVANTAGES, MASK, config=CONFIG).total)
    assert "kl" not in with_beta.metrics


def test_on_policy_it_is_the_policy_gradient():
    """At a ratio of 1 the gradient is that of -A log pi, the definition that the surrogate is made for."""
    logprobs, _ = example()
    loss = policy_loss(logprobs, logprobs.detach(), ADVANTAGES, MASK, config=CONFIG)
    expected = -(ADVANTAGES[:, None] * logprobs * MASK).sum() / MASK.sum()
    assert torch.equal(mean_and_gradient(loss, logprobs)[1], torch.autograd.grad(expected, logprobs)[0])


def test_entropy_is_logged_over_tokens_that_count():
    logprobs, old = example()
    entropies = torch.tensor([[2.0, 9.0, math.nan], [1.0, 1.0, 4.0]])
    loss = policy_loss(logprobs, old, ADVANTAGES, MASK, config=CONFIG, entropies=entropies)
    assert shares(loss)["entropy"] == 2.0


def random_batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows, length = 12, 9
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    old = -3 * torch.rand(rows, length, generator=generator)
    return {
        "logprobs": old + 0.4 * torch.randn(rows, length, generator=generator),
        "old": old,
        "advantages": torch.randn(rows, generator=generator),
        "mask": torch.arange(length) < lengths[:, None],
        "reference": old + 0.4 * torch.randn(rows, length, generator=generator),
        "entropies": torch.rand(rows, length, generator=generator),
    }


def learned(batch: dict[str, Tensor], aggregation: str) -> tuple[Loss, Tensor]:
    logprobs = batch["logprobs"].clone().requires_grad_()
    config = GrpoConfig(loss_aggregation=aggregation, kl_beta=0.1, max_tokens=9)
    loss = policy_loss(**(batch | {"logprobs": logprobs}), config=config)
    return loss, mean_and_gradient(loss, logprobs)[1]


AGGREGATIONS = pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])


def assert_same(loss: Loss, other: Loss) -> None:
    torch.testing.assert_close(loss.total, other.total)
    assert loss.count == other.count
    for name, sums in loss.metrics.items():
        torch.testing.assert_close(other.metrics[name], sums)


@AGGREGATIONS
def test_order_of_completions_does_not_matter(aggregation):
    batch = random_batch()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5))
    loss, gradient = learned(batch, aggregation)
    other, moved = learned({name: values[order] for name, values in batch.items()}, aggregation)
    assert_same(loss, other)
    torch.testing.assert_close(moved, gradient[order])


@AGGREGATIONS
@pytest.mark.parametrize("padding", [0.0, math.nan, math.inf, 1e30])
def test_padding_does_not_matter(aggregation, padding):
    """Longer rows, and rows that are all padding, as where ranks must have equally many, change nothing, whatever
    stands there."""
    batch = random_batch()
    wide: dict[str, Tensor] = {}
    for name, values in batch.items():
        if values.ndim == 1:
            wide[name] = torch.cat([values, torch.ones(2)])
        else:
            wide[name] = torch.full((14, 15), padding).to(values.dtype)
            wide[name][:12, :9] = values
    wide["mask"][12:], wide["mask"][:, 9:] = False, False
    for name in ("logprobs", "old", "reference", "entropies"):
        wide[name][~wide["mask"]] = padding
    loss, gradient = learned(batch, aggregation)
    other, padded = learned(wide, aggregation)
    assert_same(loss, other)
    torch.testing.assert_close(padded[:12, :9], gradient)
    assert (padded[~wide["mask"]] == 0).all()


@AGGREGATIONS
def test_parts_add_up_to_the_whole(aggregation):
    """What ranks and accumulated parts rely on: totals and counts are added, and divided once."""
    batch = random_batch()
    parts = [
        learned({name: values[rows] for name, values in batch.items()}, aggregation)[0]
        for rows in (slice(0, 3), slice(3, 12))
    ]
    whole, _ = learned(batch, aggregation)
    torch.testing.assert_close(parts[0].total + parts[1].total, whole.total)
    assert parts[0].count + parts[1].count == whole.count


def test_the_weight_of_a_token():
    """Two completions, 1 and 4 tokens long: what share of the whole gradient has the short one's token?"""
    mask = torch.arange(4) < torch.tensor([[1], [4]])
    weights = {}
    for aggregation in ("token", "sequence", "constant"):
        logprobs = torch.full((2, 4), -1.0, requires_grad=True)
        config = replace(CONFIG, loss_aggregation=aggregation)
        loss = policy_loss(logprobs, logprobs.detach(), torch.ones(2), mask, config=config)
        weights[aggregation] = mean_and_gradient(loss, logprobs)[1].abs()
    assert weights["token"][mask].tolist() == pytest.approx([1 / 5] * 5)
    assert weights["sequence"][mask].tolist() == pytest.approx([1 / 2] + [1 / 8] * 4)
    assert weights["constant"][mask].tolist() == pytest.approx([1 / 20] * 5)


@pytest.mark.parametrize("advantage", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("step", [-500.0, 500.0])
def test_extreme_ratios_leave_the_gradient_finite(step, advantage):
    """exp(500) is infinite, and infinity times the zero slope of a clipped token is not a number: one token that became
    certain would have poisoned the whole step."""
    logprobs = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    old = torch.tensor([[-1.0 - step, -1.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    loss = policy_loss(
        logprobs, old, torch.tensor([advantage]), mask, old, config=replace(CONFIG, kl_beta=0.1)
    )
    mean, gradient = mean_and_gradient(loss, logprobs)
    assert math.isfinite(mean)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient[0, 1], torch.tensor(-advantage / 2))


def test_nothing_to_learn_from():
    """Where every group is dropped, the sum is 0, the count is 0 and so is the gradient."""
    logprobs, old = example()
    loss = policy_loss(logprobs, old, ADVANTAGES, torch.zeros_like(MASK), config=CONFIG)
    assert (loss.total.item(), loss.count.item()) == (0, 0)
    assert (torch.autograd.grad(loss.total, logprobs)[0] == 0).all()


def test_only_the_present_log_probabilities_have_a_gradient():
    batch = random_batch()
    for name, values in batch.items():
        if name != "mask":
            values.requires_grad_()
    loss = policy_loss(**batch, config=GrpoConfig())
    loss.total.backward()
    assert [name for name, values in batch.items() if values.grad is not None] == ["logprobs"]
    assert not any(total.requires_grad for total, _ in loss.metrics.values())
