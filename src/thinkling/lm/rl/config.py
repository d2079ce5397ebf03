"""Settings of group relative policy optimisation, under the names of the papers.

GRPO: Shao et al. 2024, arXiv 2402.03300. DAPO: Yu et al. 2025, arXiv 2503.14476. Dr. GRPO: Liu et al. 2025, arXiv
2503.20783.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from thinkling.errors import InputError

LossAggregation = Literal["token", "sequence", "constant"]
"""How the losses of tokens become one number."""


@dataclass(frozen=True, kw_only=True)
class GrpoConfig:
    """How completions are drawn and how much is learned from them.

    GRPO as it was published is `clip_high=0.2, loss_aggregation="sequence", scale_advantages=True,
    dynamic_sampling=False, kl_beta=0.04`.
    """

    group_size: int = 8
    """Completions of a prompt, G; each is judged against the others."""
    prompts_per_step: int = 16
    """Prompts of a rollout, over all processes."""
    updates_per_rollout: int = 1
    """Updates of the weights with the same completions, mu in GRPO; beyond the first, importance ratios correct for
    the older weights that drew them."""
    clip_low: float = 0.2
    """How far below 1 a ratio still counts, epsilon_low in DAPO."""
    clip_high: float = 0.28
    """How far above 1 a ratio still counts, epsilon_high in DAPO (clip-higher); as large as clip_low: PPO's clip."""
    loss_aggregation: LossAggregation = "token"
    """token: the mean over all tokens of the batch (DAPO); sequence: the mean over sequences of their means (GRPO);
    constant: sums over sequences, each divided by `max_tokens` (Dr. GRPO)."""
    scale_advantages: bool = False
    """Whether advantages are divided by the deviation of their group's rewards (GRPO); Dr. GRPO does not."""
    dynamic_sampling: bool = True
    """Whether groups with equal rewards are replaced by other prompts' (DAPO)."""
    max_resamples: int = 4
    """Times that a group is replaced at most, where dynamic_sampling is on."""
    overlong_buffer: int = 0
    """Tokens before `max_tokens` over which the punishment of long completions grows (DAPO; 0: no punishment)."""
    overlong_penalty: float = 1.0
    """Punishment of a completion that reaches `max_tokens`, where overlong_buffer is above 0."""
    kl_beta: float = 0.01
    """Weight of the divergence from the model at the start (0: none, and that model is not kept)."""
    temperature: float = 1.0
    """At which completions are drawn, and at which their probabilities are computed."""
    max_tokens: int = 256
    """Tokens of a completion at most, its reasoning included."""
    think_budget: int | None = None
    """Tokens of reasoning at most, after which `</think>` is written for the model (None: no such limit)."""
    format_weight: float = 0.1
    """Reward of a well-formed completion; a right answer earns 1."""

    def __post_init__(self) -> None:
        """Refuses values that cannot work.

        Raises:
            InputError: naming the first field out of its range.
        """
        self._must(
            self.group_size >= 2,
            "group_size",
            "2 or more: a completion is judged against the others of its group",
        )
        for name in ("prompts_per_step", "updates_per_rollout", "max_tokens"):
            self._must(getattr(self, name) >= 1, name, "1 or more")
        self._must(0 < self.clip_low <= 1, "clip_low", "above 0, up to 1")
        self._must(0 < self.clip_high < math.inf, "clip_high", "above 0")
        allowed = get_args(LossAggregation)
        self._must(self.loss_aggregation in allowed, "loss_aggregation", ", ".join(allowed))
        self._must(self.max_resamples >= 0, "max_resamples", "0 (none) or more")
        self._must(
            0 <= self.overlong_buffer <= self.max_tokens,
            "overlong_buffer",
            f"0 (off) to max_tokens, {self.max_tokens}",
        )
        self._must(0 <= self.overlong_penalty < math.inf, "overlong_penalty", "0 or more")
        self._must(0 <= self.kl_beta < math.inf, "kl_beta", "0 (off) or more")
        self._must(
            0 < self.temperature < math.inf,
            "temperature",
            "above 0: greedy completions of a prompt are all the same",
        )
        self._must(self.think_budget is None or self.think_budget >= 0, "think_budget", "0 or more, or none")
        self._must(
            0 <= self.format_weight < 1,
            "format_weight",
            "0 up to, but not including, 1, so that a right answer is worth more than its form",
        )

    def _must(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise InputError(f"{name} = {getattr(self, name)}", allowed, f"set {name} to an allowed value")
