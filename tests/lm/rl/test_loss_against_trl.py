"""The loss, its gradient and the advantages against TRL's GRPOTrainer, on the same log-probabilities."""

from __future__ import annotations

import warnings
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from thinkling.lm.rl.advantages import group_advantages, overlong_rewards
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.loss import policy_loss

PROMPTS, GROUP, LENGTH = 3, 4, 11
THEIR_NAMES = {"token": "dapo", "sequence": "grpo", "constant": "dr_grpo"}


@pytest.fixture(scope="module")
def trl() -> Any:
    """TRL, whose imports warn of other libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("trl", exc_type=ImportError)
        _ = found.GRPOTrainer  # it is imported when it is asked for
    return found


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = PROMPTS * GROUP
    lengths = torch.randint(1, LENGTH + 1, (rows,), generator=generator)
    old = -2 * torch.rand(rows, LENGTH, generator=generator)
    return {
        "logprobs": old + 0.3 * torch.randn(rows, LENGTH, generator=generator),
        "old": old,
        "reference": old + 0.3 * torch.randn(rows, LENGTH, generator=generator),
        "entropies": torch.rand(rows, LENGTH, generator=generator),
        "mask": torch.arange(LENGTH) < lengths[:, None],
        "rewards": torch.rand(PROMPTS, GROUP, generator=generator).round(decimals=1),
    }


def their_loss(
    trl: Any, config: GrpoConfig, logprobs: Tensor, batch: dict[str, Tensor], advantages: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """What GRPOTrainer's `_compute_loss` says, and logs, where the model says these log-probabilities."""
    metrics: dict[str, dict[str, list[float]]] = {"train": defaultdict(list)}
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, reduce=lambda values, reduction: values, gather=lambda values: values
        ),
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, batch["entropies"], None),
        loss_type=THEIR_NAMES[config.loss_aggregation],
        beta=config.kl_beta,
        epsilon_low=config.clip_low,
        epsilon_high=config.clip_high,
        max_completion_length=config.max_tokens,
        importance_sampling_level="token",
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        _metrics=metrics,
    )
    empty = torch.zeros(len(logprobs), 0, dtype=torch.int64)
    inputs = {
        "prompt_ids": empty,
        "prompt_mask": empty,
        "completion_ids": torch.zeros(logprobs.shape, dtype=torch.int64),
        "completion_mask": batch["mask"].long(),
        "advantages": advantages,
        "old_per_token_logps": batch["old"],
        "ref_per_token_logps": batch["reference"],
        "num_items_in_batch": batch["mask"].sum(),
    }
    loss = trl.GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    return loss, {name: values[0] for name, values in metrics["train"].items()}


@pytest.mark.parametrize("aggregation", list(THEIR_NAMES))
@pytest.mark.parametrize("kl_beta", [0.0, 0.2])
@pytest.mark.parametrize("clip_high", [0.2, 0.28])
@pytest.mark.parametrize("scale", [False, True])
def test_loss_gradient_and_metrics(trl, batch, aggregation, kl_beta, clip_high, scale):
    config = GrpoConfig(
        loss_aggregation=aggregation,
        kl_beta=kl_beta,
        clip_high=clip_high,
        scale_advantages=scale,
        max_tokens=LENGTH,
    )
    advantages = group_advantages(batch["rewards"], scale=scale).flatten()
    logprobs = batch["logprobs"].requires_grad_()
    theirs, said = their_loss(trl, config, logprobs, batch, advantages)
    (their_gradient,) = torch.autograd.grad(theirs, logprobs)

    loss = policy_loss(
        logprobs,
        batch["old"],
        advantages,
        batch["mask"],
        batch["reference"] if kl_beta else None,
        config=config,
        entropies=batch["entropies"],
    )
    ours = loss.total / loss.count
    (our_gradient,) = torch.autograd.grad(ours, logprobs)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(our_gradient, their_gradient)

    shares = {name: float(total) / float(count) for name, (total, count) in loss.metrics.items()}
    names = {
        "clipped_low": "clip_ratio/low_mean",
        "clipped_high": "clip_ratio/high_mean",
        "entropy": "entropy",
    }
    names |= {"kl": "kl"} if kl_beta else {}
    assert shares["clipped_low"] > 0
    assert shares["clipped_high"] > 0
    assert {name: shares[name] for name in names} == pytest.approx({n: said[t] for n, t in names.items()})


def test_advantages_scaled_by_the_deviation(trl, batch):
    """TRL computes them within a long method; its deviation is a function."""
    from trl.trainer.utils import nanstd

    rewards = batch["rewards"]
    expected = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1)[:, None] + 1e-4)
    torch.testing.assert_close(group_advantages(rewards, scale=True), expected)


def test_soft_overlong_punishment(trl):
    from trl.rewards import get_soft_overlong_punishment

    lengths = list(range(1, 21))
    punish = get_soft_overlong_punishment(max_completion_len=20, soft_punish_cache=8)
    expected = torch.tensor(punish(completion_ids=[[0] * length for length in lengths]))
    ended = torch.ones(len(lengths), dtype=torch.bool)
    ours = overlong_rewards(torch.tensor(lengths), ended, max_tokens=20, buffer=8, penalty=1.0)
    torch.testing.assert_close(ours, expected)
