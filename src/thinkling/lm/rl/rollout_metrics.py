"""What there is to say of a rollout, as sums and counts.

Shapes: P prompts, G completions of a prompt, N = P G.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from thinkling.lm.request import Completion
from thinkling.lm.rl.guards import Measures, repeated_text

Pair: TypeAlias = tuple[float, float]
"""A sum and its count."""

MEASURED = ("answer_reward", "entropy", "length", "truncated", "repeated", "format_only")
"""The metrics that the guard against collapse judges, in the order of its `Measures`."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A completion and its reward, part by part."""

    completion: Completion
    """What was written."""
    answer: float
    """Reward of the answer, 0 to 1."""
    form: float
    """Reward of the format, 0 to 1, before it is weighted."""

    @property
    def right(self) -> bool:
        """Whether the answer earns all that it can."""
        return self.answer >= 1


METRICS = (
    "reward",
    "answer_reward",
    "format_reward",
    "length",
    "thinking_tokens",
    "truncated",
    "repeated",
    "format_only",
    "reward_deviation",
    "groups_without_signal",
    "refills",
    "wasted_groups",
    "rollout_seconds",
    "reward_failures",
)
"""Names of what `rollout_metrics` returns, of the time that a rollout took, and of the completions in it that could
not be judged and earn nothing."""


def rollout_metrics(
    judged: Sequence[Judged], rewards: Tensor, signal: Tensor, dropped: int
) -> dict[str, Pair]:
    """Metrics of a rollout.

    Args:
        judged: the N completions of the groups that were kept.
        rewards: [P, G] their whole rewards.
        signal: [P] which groups have rewards that differ.
        dropped: groups that were replaced since theirs did not.

    Returns:
        Over completions: "reward" in all, "answer_reward" and "format_reward" (before its weight), "length" and
        "thinking_tokens" in tokens, "truncated", "repeated" (see `guards.repeated_text`) and "format_only" (the
        format's reward and nothing for the answer) as shares. Over groups: "reward_deviation" inside a group;
        "groups_without_signal", the share of all groups that were drawn; "refills", replaced groups for each one
        that was kept; "wasted_groups", the share of kept groups that stayed without signal.
    """
    count, groups = float(len(judged)), float(len(rewards))
    right = [each.answer > 0 for each in judged]
    over_completions = {
        "reward": float(rewards.sum()),
        "answer_reward": sum(each.answer for each in judged),
        "format_reward": sum(each.form for each in judged),
        "length": sum(len(each.completion.tokens) for each in judged),
        "thinking_tokens": sum(each.completion.thinking_tokens for each in judged),
        "truncated": sum(each.completion.finish == "length" for each in judged),
        "repeated": float(_repeated([each.completion for each in judged]).sum()),
        "format_only": sum(each.form > 0 and not good for each, good in zip(judged, right, strict=True)),
    }
    equal = float((~signal).sum())
    return {name: (float(total), count) for name, total in over_completions.items()} | {
        "reward_deviation": (float(rewards.std(-1).sum()), groups),
        "groups_without_signal": (equal + dropped, groups + dropped),
        "refills": (float(dropped), groups),
        "wasted_groups": (equal, groups),
    }


def nothing_of(names: Iterable[str]) -> dict[str, Pair]:
    """The same metrics where nothing was measured."""
    return dict.fromkeys(names, (0.0, 0.0))


def measures(totals: Mapping[str, Pair]) -> Measures | None:
    """What the guard judges, from sums over all ranks; None where a part was not measured."""
    if any(not totals[name][1] for name in MEASURED):
        return None
    reward, *others = (totals[name][0] / totals[name][1] for name in MEASURED)
    names = ("entropy", "length", "truncated", "repeated", "format_only")
    return Measures(reward=reward, **dict(zip(names, others, strict=True)))


def _repeated(completions: Sequence[Completion]) -> Tensor:
    lengths = torch.tensor([len(each.tokens) for each in completions])
    tokens = torch.full((len(completions), int(lengths.max())), -1)
    for line, each in zip(tokens, completions, strict=True):
        line[: len(each.tokens)] = torch.tensor(each.tokens)
    return repeated_text(tokens, lengths)
