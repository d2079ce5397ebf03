"""How often each of some problems is solved in several sampled attempts, and what that says about groups.

Shapes: n attempts at a problem, G completions of a group in training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from thinkling.lm.rl.advantages import overlong_rewards
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.rollout_metrics import Judged
from thinkling.lm.rl.rollouts import draw_seed, judged
from thinkling.tasks.reward import Reward

RIGHT = 1.0
"""The reward of a right answer; what earns less is partly right at best, and is not solved."""
_STEP = 0
"""The number of no rollout: no step of training draws the same."""
_DIGITS = 6
"""Rewards are added in fp32, and equal ones may differ behind these digits."""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What a model made of one problem."""

    answers: tuple[float, ...]
    """[n] reward of each answer, 0 to 1."""
    rewards: tuple[float, ...]
    """[n] whole reward of each attempt, with format and length."""
    well_formed: int
    """Attempts that reason once, between the markers, and then answer."""
    truncated: int
    """Attempts that did not end by themselves."""
    tokens: int
    """Tokens of all attempts."""
    thinking_tokens: int
    """Of these, tokens of reasoning."""

    @property
    def n(self) -> int:
        """How many attempts there were."""
        return len(self.answers)

    @property
    def right(self) -> int:
        """How many of them solved the problem."""
        return sum(answer >= RIGHT for answer in self.answers)

    @property
    def pass_rate(self) -> float:
        """The share that solved it."""
        return self.right / self.n


def same_in_group(values: Sequence[float], size: int) -> float:
    """The chance that G attempts all have the same value: the sum over values v of C(n_v, G) / C(n, G).

    They are drawn without replacement: it is the mean over all groups of G among the n attempts, and so without bias,
    as the estimator of Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Args:
        values: [n] one for each attempt.
        size: G, at most n.
    """
    assert 1 <= size <= len(values), "a group among the attempts"
    counts = Counter(round(value, _DIGITS) for value in values).values()
    return sum(math.comb(count, size) for count in counts) / math.comb(len(values), size)


def all_of_group(right: int, attempts: int, size: int) -> float:
    """The chance that G attempts, drawn without replacement, are all among the `right` ones: C(c, G) / C(n, G)."""
    assert 1 <= size <= attempts, "a group among the attempts"
    assert 0 <= right <= attempts, "no more right ones than attempts"
    return math.comb(right, size) / math.comb(attempts, size)


def draws_per_group(without_signal: float, max_resamples: int) -> float:
    """Groups that are drawn in the mean until one has a signal, or `max_resamples` have been replaced.

    Each is another problem's, so the draws are independent: 1 + w + w^2 + ... + w^R.

    Args:
        without_signal: w, the share of groups whose rewards are all the same.
        max_resamples: R.
    """
    return sum(without_signal**number for number in range(max_resamples + 1))


def attempted(
    engine: PolicyEngine,
    prompts: Sequence[Prompt],
    reward: Reward,
    config: GrpoConfig,
    *,
    samples: int,
    seed: int,
    in_hand: int,
) -> Iterator[tuple[int, Attempts]]:
    """Let a model try every problem several times; problems come as they are done, by their place among the prompts.

    Args:
        engine: writes the attempts, with the model's weights as they are now.
        prompts: the problems, no two with the same number.
        reward: judges answers.
        config: temperature, lengths and rewards.
        samples: attempts at each problem, n.
        seed: of the draws; those of a problem depend on it and on the problem's number only.
        in_hand: attempts that are waiting or in work at once; twice the engine's slots keep all of them busy.

    Raises:
        InputError: a prompt fills the context.
    """
    engine.refresh()
    group = replace(config, group_size=samples)
    asked = done = 0
    while done < len(prompts):
        while asked < len(prompts) and (asked - done) * samples < in_hand:
            prompt = prompts[asked]
            engine.ask(asked, prompt, draw_seed(seed, _STEP, prompt.number), group)
            asked += 1
        finished = engine.finished()
        done += len(finished)
        # Judged together, since a judge may wait for other processes.
        found = judged(
            [(prompts[place], completions) for place, completions in finished], reward, engine.tokenizer
        )
        for (place, _), tried in zip(finished, found, strict=True):
            yield place, _counted(tried, config)


def _counted(tried: Sequence[Judged], config: GrpoConfig) -> Attempts:
    completions = [each.completion for each in tried]
    return Attempts(
        answers=tuple(each.answer for each in tried),
        rewards=_rewards(tried, config),
        well_formed=sum(each.form > 0 for each in tried),
        truncated=sum(each.finish == "length" for each in completions),
        tokens=sum(len(each.tokens) for each in completions),
        thinking_tokens=sum(each.thinking_tokens for each in completions),
    )


def _rewards(tried: Sequence[Judged], config: GrpoConfig) -> tuple[float, ...]:
    """The whole reward of each attempt, as a rollout has it."""
    said = torch.tensor([each.answer + config.format_weight * each.form for each in tried])
    said += overlong_rewards(
        torch.tensor([len(each.completion.tokens) for each in tried]),
        torch.tensor([each.completion.finish == "stop" for each in tried]),
        max_tokens=config.max_tokens,
        buffer=config.overlong_buffer,
        penalty=config.overlong_penalty,
    )
    return tuple(said.tolist())
