"""What the trainer needs to know of reinforcement learning: a rollout as its slots, the clipped loss, a validation.

A step is one update. With mu updates per rollout, every mu-th step begins with new completions; in between, ratios
compare the present weights with those that drew them. Where gradients are accumulated, a part of a step is a part of
the rollout's completions.

Shapes: N completions on this rank, n of them in a part of a step, S positions of the longest one, M measures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkling.artifacts.weights import save_weights
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.hf_files import write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.guards import CollapseGuard, GuardAction, GuardState
from thinkling.lm.rl.loss import policy_loss
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.rollout_metrics import MEASURED, METRICS, Pair, measures, nothing_of
from thinkling.lm.rl.rollouts import Prompts, Rollout, collect
from thinkling.lm.rl.token_logprobs import token_logprobs
from thinkling.lm.run_files import TOKENIZER
from thinkling.nn.precision import ComputeDtype, resolve_dtype
from thinkling.tasks.reward import CheckedReward, Reward
from thinkling.training.distributed import added_over_ranks, check_divisible
from thinkling.training.objective import Loss, Shard

REFERENCE = "reference.safetensors"
"""Name of the file in a run folder with the weights that the divergence is measured from."""

_COMPARED = ("logprob_difference", "logprob_difference_max")
"""How far apart the sampler's and the trainer's log-probabilities of the same tokens are."""


@dataclass(frozen=True, kw_only=True)
class GrpoState:
    """What there is between two steps."""

    rollout: Rollout
    """The present completions of this rank."""
    measured: Tensor
    """[M, 2] fp64: sums and counts of what the guard judges, of this rank's present completions."""
    guard: GuardState
    """What the guard remembers; the same on every rank."""


class GrpoObjective:
    """Group relative policy optimisation of a language model; see `GrpoConfig`.

    Args:
        model: the network, on its device, with the weights to start from.
        reference: a network with the weights that the divergence is measured from; None: there is no divergence.
        tokenizer: of both.
        prompts: where prompts come from.
        reward: judges completions.
        config: how completions are drawn and learned from.
        validate: scores the model on held-out problems; it is in evaluation mode and without gradient then.
        validation_metric: key of what `validate` returns that chooses the best weights; higher is better.
        engine: writes the completions.
        longest: tokens of the longest prompt and completion together.
        seed: of the draws.
        parts: parts of a step, where gradients are accumulated.
        shard: this rank's part.
        description: stored in the run's config.json.
        compute_dtype: dtype of matrix products.
        guard: judges whether the policy has collapsed.
        guard_action: what it does then.
        run: the run folder, whose best weights a roll-back takes.
    """

    held_out = True

    def __init__(
        self,
        model: Decoder,
        reference: Decoder | None,
        tokenizer: ChatTokenizer,
        prompts: Prompts,
        reward: Reward,
        config: GrpoConfig,
        *,
        engine: PolicyEngine,
        validate: Callable[[], dict[str, float]],
        validation_metric: str,
        longest: int,
        run: Path,
        seed: int = 0,
        parts: int = 1,
        shard: Shard | None = None,
        description: Mapping[str, Any] | None = None,
        compute_dtype: ComputeDtype = "auto",
        guard: CollapseGuard | None = None,
        guard_action: GuardAction = "stop",
    ) -> None:
        self.model, self.reference = model, reference
        self.tokenizer, self.prompts, self.reward = tokenizer, prompts, reward
        self.config, self.engine, self.longest, self.run = config, engine, longest, run
        self.seed, self.parts = seed, parts
        self.shard = shard or Shard()
        check_divisible(config.prompts_per_step, self.shard)
        self.batch_size = config.prompts_per_step * config.group_size
        self.counted = "tokens" if config.loss_aggregation == "token" else "completions"
        self.validation_metric, self._score = validation_metric, validate
        self.description = dict(description or {})
        self.guard, self.guard_action = guard or CollapseGuard(), guard_action
        dtype = resolve_dtype(compute_dtype, model.device)
        for network in (model, reference):
            if network is not None:
                network.compute_dtype = dtype
        if reference is not None:
            reference.requires_grad_(False)
            reference.eval()

    def fresh_state(self) -> GrpoState:
        """No completions yet."""
        return GrpoState(rollout=self._no_rollout(), measured=self._nothing_measured(), guard=GuardState())

    def loss(self, forward: Callable[..., Any], state: GrpoState, step: int) -> tuple[GrpoState, Loss]:
        """The loss of one update, or of a part of one, on this rank's completions; new ones where they are due.

        Raises:
            TrainingStoppedError: the policy has collapsed, and the guard shall end training then.
        """
        update, part = divmod(step - 1, self.parts)
        number = update // self.config.updates_per_rollout + 1
        metrics = nothing_of(METRICS)
        if not state.rollout.is_number(number):
            state = self._next(state, number, update + 1)
            metrics = dict(state.rollout.metrics)
        rollout = state.rollout
        which = torch.nonzero(rollout.learned).squeeze(-1)[part :: self.parts]
        # Without any completion to learn from, one that counts nothing: every rank must have a gradient to share.
        rows = rollout.rows(which if len(which) else torch.zeros(1, dtype=torch.int64))
        device = self.model.device
        tokens, asked = rows.tokens.to(device), (rows.chosen & rows.learned[:, None])[:, 1:].to(device)
        logprobs, entropies = token_logprobs(
            self.model, forward, tokens, asked, temperature=self.config.temperature
        )
        first = not bool(rows.known.any())
        if first:
            old, reference = logprobs.detach(), self._reference_logprobs(tokens, asked)
            metrics |= _differences(rows.logprobs[:, 1:].to(device), old, asked)
            if len(which):
                rollout = rollout.with_known(which, old.cpu(), None if reference is None else reference.cpu())
        else:
            metrics |= nothing_of(_COMPARED)
            old, reference = rows.old[:, 1:].to(device), None
            if self.reference is not None:
                reference = rows.reference[:, 1:].to(device)
        loss = policy_loss(
            logprobs,
            old,
            rows.advantages.to(device),
            asked,
            reference,
            config=self.config,
            entropies=entropies,
        )
        measured = state.measured
        if first:
            total, count = loss.metrics["entropy"]
            measured = measured.clone()
            measured[MEASURED.index("entropy")] += torch.stack([total, count]).cpu().double()
        pairs = {
            name: (torch.tensor(total, device=device), torch.tensor(count, device=device))
            for name, (total, count) in metrics.items()
        }
        return (
            replace(state, rollout=rollout, measured=measured),
            Loss(total=loss.total, count=loss.count, metrics={**loss.metrics, **pairs}),
        )

    def state_tensors(self, state: GrpoState) -> dict[str, Tensor]:
        """The rollout, what was measured of it, and what the guard remembers, each with N rows."""
        # Sums of this rank stand in its first row, so that those of all ranks can be added whatever their number.
        measured = torch.zeros(len(state.rollout.number), *state.measured.shape, dtype=torch.float64)
        measured[0] = state.measured
        guard = self.guard.state_tensor(state.guard)
        return {f"rollout.{name}": tensor for name, tensor in state.rollout.padded(self.longest).items()} | {
            "measured": measured,
            "guard": guard.expand(len(measured), -1).contiguous(),
        }

    def restore_state(self, tensors: Mapping[str, Tensor]) -> GrpoState:
        """The inverse of `state_tensors`."""
        prefix = "rollout."
        saved = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        return GrpoState(
            rollout=Rollout.restored(saved),
            measured=tensors["measured"].sum(0),
            guard=self.guard.restored(tensors["guard"][0]),
        )

    def restarted_state(self, state: GrpoState) -> GrpoState:
        """Other completions: the next step draws new ones."""
        return replace(state, rollout=self._no_rollout(), measured=self._nothing_measured())

    def validate(self) -> dict[str, float]:
        """The score on held-out problems."""
        return self._score()

    def describe(self) -> dict[str, Any]:
        """What the run is, for config.json."""
        return self.description

    def write_files(self, folder: Path) -> None:
        """The tokenizer, what other programs open the folder by, and the reference's weights."""
        self.tokenizer.save(folder / TOKENIZER)
        write_hf_files(folder, self.tokenizer, self.model.config)
        if self.reference is not None and not (folder / REFERENCE).exists():
            save_weights(folder / REFERENCE, self.reference.state_dict())

    def _no_rollout(self) -> Rollout:
        return Rollout.empty(self.batch_size // self.shard.world_size)

    def _nothing_measured(self) -> Tensor:
        return torch.zeros(len(MEASURED), 2, dtype=torch.float64)

    def _next(self, state: GrpoState, number: int, step: int) -> GrpoState:
        """New completions, after the guard has judged the last ones."""
        guard = self._guarded(state, step)
        begun, failed = time.perf_counter(), _failures(self.reward)
        rollout = collect(
            self.engine,
            self.prompts,
            self.reward,
            self.config,
            seed=self.seed,
            step=number,
            part=self.shard.local(self.config.prompts_per_step),
        )
        metrics: dict[str, Pair] = {
            **rollout.metrics,
            "rollout_seconds": (time.perf_counter() - begun, 1.0),
            "reward_failures": (float(_failures(self.reward) - failed), 1.0),
        }
        measured = [metrics.get(name, (0.0, 0.0)) for name in MEASURED]
        return GrpoState(
            rollout=replace(rollout, metrics=metrics),
            measured=torch.tensor(measured, dtype=torch.float64),
            guard=guard,
        )

    def _guarded(self, state: GrpoState, step: int) -> GuardState:
        """What the guard remembers after it has judged the present completions. Collective."""
        totals = added_over_ranks(state.measured.flatten().tolist(), self.model.device)
        pairs = dict(zip(MEASURED, zip(totals[::2], totals[1::2], strict=True), strict=True))
        measured = measures(pairs)
        if measured is None:
            return state.guard
        guard, fault = self.guard.judge(state.guard, measured)
        if fault is None:
            return guard
        return self.guard.act(
            self.guard_action, guard, fault, step=step, model=self.model, run=self.run, warn=self._warn
        )

    def _warn(self, text: str) -> None:
        if self.shard.rank == 0:
            print(f"thinkling: {text}", file=sys.stderr, flush=True)

    @torch.no_grad()
    def _reference_logprobs(self, tokens: Tensor, asked: Tensor) -> Tensor | None:
        if self.reference is None:
            return None
        found, _ = token_logprobs(
            self.reference, self.reference, tokens, asked, temperature=self.config.temperature
        )
        return found


def _failures(reward: Reward) -> int:
    """Completions that a reward could not judge so far."""
    return reward.failures if isinstance(reward, CheckedReward) else 0


def _differences(sampled: Tensor, trained: Tensor, asked: Tensor) -> dict[str, Pair]:
    """How far the sampler's log-probabilities [n, S - 1] are from the trainer's: mean and maximum."""
    apart = torch.where(asked, (sampled - trained).abs(), 0.0)
    count = float(asked.sum())
    mean, largest = _COMPARED
    return {mean: (float(apart.sum()), count), largest: (float(apart.max()), float(count > 0))}
