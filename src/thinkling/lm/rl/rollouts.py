"""Completions of one step's prompts, with their rewards and with what was known when they were drawn.

A prompt has a group of G completions. A group whose rewards are all equal teaches nothing: another prompt takes its
place at once, while the other groups are still being written, up to a limit (dynamic sampling, DAPO, arXiv 2503.14476,
section 3.2).

Shapes: P local prompts of this rank, G completions of a prompt, N = P G completions, S positions of the longest one,
prompt included.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.sampling import random_words
from thinkling.lm.request import Completion
from thinkling.lm.rl.advantages import group_advantages, has_signal, overlong_rewards
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.policy_engine import PolicyEngine, well_formed
from thinkling.lm.rl.prompts import Prompt
from thinkling.lm.rl.rollout_metrics import Judged, Pair, rollout_metrics
from thinkling.tasks.reward import Completed, Reward, score_all


class Prompts(Protocol):
    """Where prompts come from: which one is a function of a seed, the rollout, the place and the attempt."""

    def prompt(self, step: int, place: int, attempt: int, *, of: int) -> Prompt:
        """The prompt for a place of a rollout of `of` places; an attempt after the first takes another one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """All completions of one step's prompts, group after group."""

    tokens: Tensor
    """[N, S] int64: prompt and completion; what follows a completion's end is padding."""
    prompt_lengths: Tensor
    """[N] tokens of the prompt."""
    lengths: Tensor
    """[N] tokens of prompt and completion."""
    chosen: Tensor
    """[N, S] bool: tokens that the model has chosen, so neither the prompt's nor those that a budget wrote for it."""
    logprobs: Tensor
    """[N, S] log-probability of each chosen token when it was drawn, as the sampler computed it; 0 elsewhere."""
    old: Tensor
    """[N, S] the same as training computed it in the first update, what later updates are compared with; 0 before."""
    reference: Tensor
    """[N, S] the same under the frozen reference; 0 before the first update, and where there is no reference."""
    rewards: Tensor
    """[N] all rewards of a completion, added."""
    advantages: Tensor
    """[N]"""
    learned: Tensor
    """[N] bool: whether it takes part in updates; with dynamic sampling a group without signal does not."""
    problems: Tensor
    """[N] number of the problem in the data."""
    number: Tensor
    """[N] number of the rollout, from 1; 0: none has been made."""
    known: Tensor
    """[N] bool: whether `old` and `reference` are known."""
    texts: tuple[Judged, ...] = ()
    """N completions as text with each part of their reward; not saved."""
    metrics: Mapping[str, Pair] = field(default_factory=dict)
    """What there is to say of all of them: name -> (sum, count); not saved."""

    @classmethod
    def empty(cls, completions: int) -> Rollout:
        """Before the first one."""
        integers = torch.zeros(completions, dtype=torch.int64)
        table = torch.zeros(completions, 1)
        return cls(
            tokens=table.long(),
            prompt_lengths=integers,
            lengths=integers,
            chosen=table.bool(),
            logprobs=table,
            old=table,
            reference=table,
            rewards=integers.float(),
            advantages=integers.float(),
            learned=integers.bool(),
            problems=integers,
            number=integers,
            known=integers.bool(),
        )

    def is_number(self, step: int) -> bool:
        """Whether this is the rollout of that number."""
        return bool((self.number == step).all())

    def rows(self, which: Tensor) -> Rollout:
        """Some completions [n], only as wide as they need to be; texts and metrics are left behind."""
        width = max(2, int(self.lengths[which].max()))
        chosen = {name: tensor[which] for name, tensor in self.tensors().items()}
        cut: dict[str, Any] = {name: t[:, :width] if t.ndim == 2 else t for name, t in chosen.items()}
        return Rollout(**cut)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is saved, by name."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def padded(self, width: int) -> dict[str, Tensor]:
        """`tensors` as wide as `width`, so that those of several ranks can be joined."""
        wide = {}
        for name, tensor in self.tensors().items():
            wide[name] = tensor
            if tensor.ndim == 2:
                assert tensor.shape[1] <= width, "no completion is longer than prompt and limit together"
                wide[name] = torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]))
        return wide

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Rollout:
        """The inverse of `padded`."""
        named: dict[str, Any] = dict(tensors)
        whole = cls(**named)
        return whole.rows(torch.arange(len(whole.lengths)))

    def with_known(self, which: Tensor, old: Tensor, reference: Tensor | None) -> Rollout:
        """The same where training has computed log-probabilities of the completions `which` [n].

        Args:
            which: [n] places.
            old: [n, s - 1] under the present weights, of every token but the first.
            reference: [n, s - 1] under the reference.
        """
        kept: dict[str, Any] = {"old": self.old.clone(), "known": self.known.clone()}
        kept["known"][which] = True
        kept["old"][which, 1 : old.shape[1] + 1] = old
        if reference is not None:
            kept["reference"] = self.reference.clone()
            kept["reference"][which, 1 : reference.shape[1] + 1] = reference
        return replace(self, **kept)


@dataclass
class _Group:
    """The completions of one prompt, while they are written."""

    prompt: Prompt
    attempt: int
    judged: list[Judged] = field(default_factory=list)
    rewards: Tensor = field(default_factory=lambda: torch.empty(0))
    signal: bool = False


def collect(
    engine: PolicyEngine,
    prompts: Prompts,
    reward: Reward,
    config: GrpoConfig,
    *,
    seed: int,
    step: int,
    part: slice | None = None,
) -> Rollout:
    """Let the model as it is now answer a step's prompts, and judge what it says.

    A draw depends on (seed, step, prompt, sample) only: neither ranks nor slots nor what else is written change it.

    Args:
        engine: writes completions; takes the model's weights as they are now.
        prompts: where prompts come from.
        reward: judges completions.
        config: sizes and limits.
        seed: of the draws.
        step: number of the rollout, from 1.
        part: which places of the step are this rank's; None: all `prompts_per_step`.
    """
    places = range(config.prompts_per_step)[part or slice(None)]
    engine.refresh()
    groups: dict[int, _Group] = {}
    dropped = 0

    def start(place: int, attempt: int) -> None:
        prompt = prompts.prompt(step, place, attempt, of=config.prompts_per_step)
        engine.ask(place, prompt, draw_seed(seed, step, prompt.number), config)
        groups[place] = _Group(prompt, attempt)

    for place in places:
        start(place, 0)
    while engine.busy:
        finished = engine.finished()
        found = judged(
            [(groups[place].prompt, written) for place, written in finished], reward, engine.tokenizer
        )
        for (place, _), of_group in zip(finished, found, strict=True):
            group = groups[place]
            group.judged, group.rewards = of_group, _rewards(of_group, config)
            group.signal = bool(has_signal(group.rewards[None])[0])
            if config.dynamic_sampling and not group.signal and group.attempt < config.max_resamples:
                dropped += 1
                start(place, group.attempt + 1)
    return _joined([groups[place] for place in places], config, dropped, step, engine.tokenizer.pad_id)


def judged(
    groups: Sequence[tuple[Prompt, Sequence[Completion]]], reward: Reward, tokenizer: ChatTokenizer
) -> list[list[Judged]]:
    """The completions of each group with their rewards, all judged together."""
    written = [(prompt, completion) for prompt, completions in groups for completion in completions]
    scores = score_all(
        reward,
        [
            Completed(
                problem=prompt.problem,
                text=completion.text,
                reasoning=completion.reasoning,
                well_formed=well_formed(completion, tokenizer),
            )
            for prompt, completion in written
        ],
    )
    told = iter(
        Judged(completion=completion, answer=score.answer, form=score.format)
        for (_, completion), score in zip(written, scores, strict=True)
    )
    return [list(itertools.islice(told, len(completions))) for _, completions in groups]


def draw_seed(seed: int, step: int, problem: int) -> int:
    """The seed of the completions of one prompt in one rollout."""
    of_step = int(random_words(seed, np.array([step]), 1)[0, 0] >> np.uint64(1))
    return int(random_words(of_step, np.array([problem]), 1)[0, 0])


def _rewards(judged: Sequence[Judged], config: GrpoConfig) -> Tensor:
    """The whole reward of each completion of a group. [G]."""
    said = torch.tensor([each.answer + config.format_weight * each.form for each in judged])
    return said + overlong_rewards(
        torch.tensor([len(each.completion.tokens) for each in judged]),
        torch.tensor([each.completion.finish == "stop" for each in judged]),
        max_tokens=config.max_tokens,
        buffer=config.overlong_buffer,
        penalty=config.overlong_penalty,
    )


def _joined(groups: Sequence[_Group], config: GrpoConfig, dropped: int, step: int, pad_id: int) -> Rollout:
    judged = [each for group in groups for each in group.judged]
    prompts = [group.prompt for group in groups for _ in group.judged]
    lengths = [len(p.tokens) + len(j.completion.tokens) for p, j in zip(prompts, judged, strict=True)]
    shape = (len(judged), max(lengths))
    tokens = np.full(shape, pad_id, dtype=np.int64)
    chosen, logprobs = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.float32)
    for row, (prompt, each) in enumerate(zip(prompts, judged, strict=True)):
        begin, end, completion = len(prompt.tokens), lengths[row], each.completion
        tokens[row, :end] = [*prompt.tokens, *completion.tokens]
        logprobs[row, begin:end] = completion.logprobs
        chosen[row, begin:end] = True
        chosen[row, [begin + place for place in completion.forced]] = False
    rewards = torch.stack([group.rewards for group in groups])
    signal = torch.tensor([group.signal for group in groups])
    learned = signal if config.dynamic_sampling else torch.ones_like(signal)
    zeros = torch.zeros(shape)
    return Rollout(
        tokens=torch.from_numpy(tokens),
        prompt_lengths=torch.tensor([len(prompt.tokens) for prompt in prompts]),
        lengths=torch.tensor(lengths),
        chosen=torch.from_numpy(chosen),
        logprobs=torch.from_numpy(np.where(chosen, logprobs, 0)),
        old=zeros,
        reference=zeros,
        rewards=rewards.flatten(),
        advantages=group_advantages(rewards, scale=config.scale_advantages).flatten(),
        learned=learned.repeat_interleave(config.group_size),
        problems=torch.tensor([prompt.number for prompt in prompts]),
        number=torch.full((len(judged),), step),
        known=torch.zeros(len(judged), dtype=torch.bool),
        texts=tuple(judged),
        metrics=rollout_metrics(judged, rewards, signal, dropped),
    )
