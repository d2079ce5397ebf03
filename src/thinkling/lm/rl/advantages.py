"""How much better a completion is than the others of its prompt, and what being too long costs.

Shapes: P prompts, G completions of a prompt (a group), N completions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thinkling.errors import InputError

SCALE_EPSILON = 1e-4
"""Added to a group's deviation before advantages are divided by it, as in TRL."""


def has_signal(rewards: Tensor) -> Tensor:
    """Which groups teach anything: those whose rewards are not all the same (dynamic sampling, DAPO equation 11).

    Args:
        rewards: [P, G].

    Returns:
        [P] bool.
    """
    return rewards.amax(-1) > rewards.amin(-1)


def group_advantages(rewards: Tensor, *, scale: bool) -> Tensor:
    """A completion's reward less the mean of its group; the same for all of its tokens.

    GRPO (arXiv 2402.03300, section 4.1.2) divides by the group's deviation; Dr. GRPO (arXiv 2503.20783, section 3.2)
    does not, because that gives prompts which are nearly always or nearly never solved the larger weight.

    Args:
        rewards: [P, G], finite.
        scale: whether to divide by the deviation (of the sample, with G - 1 in its denominator, as in TRL).

    Returns:
        [P, G] in fp32; exactly 0 in a group of equal rewards, whatever the rounding of their mean.

    Raises:
        InputError: groups of one completion, or a reward that is not finite.
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise InputError(
            f"rewards of shape {list(rewards.shape)}",
            "[prompts, completions of a prompt], with 2 completions or more",
            "set group_size to 2 or more",
        )
    finite = torch.isfinite(rewards)
    if not bool(finite.all()):
        raise InputError(
            f"a reward of {float(rewards[~finite][0])}",
            "finite rewards",
            "correct the function that computes the reward",
        )
    rewards = rewards.float()
    advantages = rewards - rewards.mean(-1, keepdim=True)
    if scale:
        advantages = advantages / (rewards.std(-1, keepdim=True) + SCALE_EPSILON)
    return torch.where(has_signal(rewards)[:, None], advantages, 0.0)


def overlong_rewards(
    lengths: Tensor, finished: Tensor, *, max_tokens: int, buffer: int, penalty: float
) -> Tensor:
    """What is added to the reward of long completions (soft overlong punishment, DAPO equation 13).

    0 up to `max_tokens - buffer` tokens, then falling to `-penalty` at `max_tokens` along a straight line.

    Args:
        lengths: [N] tokens of each completion.
        finished: [N] bool, whether it ended by itself; what was cut off is too long, however short the context was.
        max_tokens: tokens of a completion at most, L_max.
        buffer: tokens over which the punishment grows, L_cache; 0: no punishment at all.
        penalty: the highest punishment, 1 in DAPO.

    Returns:
        [N] in fp32, from -penalty to 0.
    """
    if not buffer:
        return torch.zeros(lengths.shape, device=lengths.device)
    too_long = ((lengths - (max_tokens - buffer)) / buffer).clamp(0.0, 1.0)
    return -penalty * torch.where(finished, too_long, 1.0)
