"""The loss of GRPO with the improvements of DAPO and Dr. GRPO, as a sum and its count.

Shapes: N completions, L tokens of a row, padding included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thinkling.lm.rl.config import GrpoConfig
from thinkling.training.objective import Loss

_LARGEST_LOG_RATIO = 20.0
"""Beyond it a ratio (of 5e8) would only lead to infinities, whose gradient is not a number even where it is clipped."""


def policy_loss(
    logprobs: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    reference: Tensor | None = None,
    *,
    config: GrpoConfig,
    entropies: Tensor | None = None,
) -> Loss:
    """The clipped surrogate of a batch of completions, and its distance from the reference model.

    For each token, with the importance ratio r = exp(logprobs - old) and the advantage A of its completion
    (GRPO, arXiv 2402.03300, equation 3; with two bounds DAPO, arXiv 2503.14476, equation 10):

        -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + kl_beta k3

    where k3 = exp(d) - d - 1 with d = reference - logprobs (GRPO, equation 4). The sum over tokens and what it is
    divided by, once the parts of all ranks are added, follow from `loss_aggregation`:

        token      all tokens / number of all tokens                        DAPO, equation 12
        sequence   the mean of each completion / number of completions      GRPO, equation 3
        constant   all tokens / (number of completions * max_tokens)        Dr. GRPO, arXiv 2503.20783, section 3.2

    Args:
        logprobs: [N, L] logarithms of the tokens' probabilities under the present weights, with gradient.
        old: [N, L] the same under the weights that drew them.
        advantages: [N].
        mask: [N, L] bool, which tokens count: those that the model chose. The others may hold anything; a row
            without any is no completion and counts nothing.
        reference: [N, L] the same under the reference model; None: no divergence is computed.
        config: clip, aggregation, weight of the divergence.
        entropies: [N, L] entropy in nats of the distribution that each token was drawn from, to be logged.

    Returns:
        The loss. Its metrics, over tokens: "ratio"; "clipped_low" and "clipped_high", the shares that have no gradient
        because they have become less likely, or likelier, than the clip allows; "kl" (k3, in nats) where there is a
        reference; "entropy" where it is given.
    """
    assert logprobs.shape == old.shape == mask.shape, "one number for each token"
    assert advantages.shape == logprobs.shape[:1], "one advantage for each completion"
    # Chosen before anything is computed from it, so that padding which is not a number meets no gradient.
    log_ratio = torch.where(mask, logprobs - old.detach(), 0.0)
    ratio = log_ratio.clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO).exp()
    lowest, highest = 1 - config.clip_low, 1 + config.clip_high
    advantage = advantages.detach()[:, None]
    losses = -torch.minimum(ratio * advantage, ratio.clamp(lowest, highest) * advantage)
    kl = None
    if reference is not None:
        distance = torch.where(mask, reference.detach() - logprobs, 0.0)
        distance = distance.clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
        kl = distance.exp() - distance - 1
        losses = losses + config.kl_beta * kl
    total, count = _aggregated(torch.where(mask, losses, 0.0), mask, config)

    tokens = mask.sum()
    low = (advantage < 0) & (ratio < lowest)
    high = (advantage > 0) & (ratio > highest)
    counted = {"ratio": ratio, "clipped_low": low, "clipped_high": high, "kl": kl, "entropy": entropies}
    metrics = {
        name: (torch.where(mask, values.detach(), 0).sum(), tokens)
        for name, values in counted.items()
        if values is not None
    }
    return Loss(total=total, count=count, metrics=metrics)


def _aggregated(losses: Tensor, mask: Tensor, config: GrpoConfig) -> tuple[Tensor, Tensor]:
    """The sum of the losses of tokens [N, L], 0 where masked, and what it is to be divided by."""
    tokens = mask.sum(-1)
    completions = (tokens > 0).sum()
    if config.loss_aggregation == "token":
        return losses.sum(), tokens.sum()
    if config.loss_aggregation == "sequence":
        return (losses.sum(-1) / tokens.clamp(min=1)).sum(), completions
    return losses.sum(), completions * config.max_tokens
