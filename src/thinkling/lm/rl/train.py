"""From a fine-tuned language model and problems with answers to one that answers more of them rightly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import AVERAGED, WEIGHTS
from thinkling.artifacts.weights import load_into, load_weights
from thinkling.data.whole_folder import file_sha256
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.lm.rl.guards import CollapseGuard
from thinkling.lm.rl.objective import REFERENCE, GrpoObjective
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import PromptData, SeededPrompts, read_prompts
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.rl.validation import VALIDATION_METRIC, validation
from thinkling.lm.run_files import CHAT, RunFiles, description, read_run
from thinkling.nn.precision import pick_device
from thinkling.tasks.reward import CheckedReward, Reward, get_reward
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that a run begins with."""

    recipe: GrpoRecipe
    """How to train."""
    files: RunFiles
    """The run to start from, or to go on with."""
    first_weights: Path
    """The file with the weights to start from, which the divergence is measured from."""
    init_sha256: str
    """Of the weights to start from."""
    data: PromptData
    """The problems."""
    reward: CheckedReward
    """Who judges."""

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt and completion together."""
        prompt = max(len(prompt.tokens) for prompt in self.data.train)
        return min(self.files.model.max_length, prompt + self.recipe.grpo.max_tokens)


def prepared(
    recipe: GrpoRecipe,
    init: Path | str | None,
    data: Path,
    out: Path | None = None,
    *,
    reward: Reward | None = None,
    resume: bool = False,
) -> Prepared:
    """The problems as prompts, and who judges; nothing is written. The arguments are those of `train_grpo`.

    Raises:
        InputError: the recipe, the run to start from, the reward or the problems cannot be used.
    """
    reward = reward or get_reward(recipe.reward)
    files, first_weights, init_sha256 = _origin(init, out, resume, keeps_reference=recipe.grpo.kl_beta > 0)
    found = read_prompts(
        fetched(data),
        files.tokenizer,
        reward,
        context=files.model.max_length,
        validation_share=recipe.validation_share,
        validation_problems=recipe.validation_problems,
        seed=recipe.train.seed,
    )
    return Prepared(
        recipe=recipe,
        files=files,
        first_weights=first_weights,
        init_sha256=init_sha256,
        data=found,
        reward=CheckedReward(reward),
    )


def train_grpo(
    recipe: GrpoRecipe,
    init: Path | str | None,
    data: Path,
    out: Path,
    *,
    reward: Reward | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TrainResult:
    """Train a language model by reinforcement. Also called by every process under torchrun, each of which then writes
    its share of the completions.

    Args:
        recipe: how to train.
        init: the run to start from; may be None where training goes on with a run.
        data: problems with their answers; see `read_prompts`.
        out: the run folder.
        reward: a function that judges answers, 1 for a right one; None: the recipe's.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line.

    Raises:
        InputError: the problems, the recipe, the run to start from or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
        TrainingStoppedError: the policy has collapsed.
    """
    ready = prepared(recipe, init, data, out, reward=reward, resume=resume)
    with process_group() as shard:
        objective = objective_of(ready, shard, out, device)
        return train(
            objective, ready.recipe.train, out, resume=resume, data_sha256=ready.data.sha256, quiet=quiet
        )


def objective_of(ready: Prepared, shard: Shard, out: Path, device: str = "auto") -> GrpoObjective:
    """The network with the weights to start from, its reference, and its problems."""
    recipe, files, grpo = ready.recipe, ready.files, ready.recipe.grpo
    network = _network(ready, device)
    network.checkpointing = recipe.checkpointing
    engine = PolicyEngine(network, files.tokenizer, slots=recipe.slots, compile=recipe.compile)
    seed = recipe.train.seed
    return GrpoObjective(
        network,
        _network(ready, device) if grpo.kl_beta else None,
        files.tokenizer,
        SeededPrompts(ready.data.train, seed),
        ready.reward,
        grpo,
        engine=engine,
        validate=lambda: validation(
            engine,
            ready.data.validation,
            ready.reward,
            grpo,
            samples=recipe.validation_samples,
            seed=seed,
        ),
        validation_metric=VALIDATION_METRIC,
        longest=ready.longest,
        run=out,
        seed=seed,
        parts=recipe.train.accumulation,
        shard=shard,
        description=description(files.model, CHAT, _settings(ready)),
        compute_dtype=recipe.train.compute_dtype,
        guard=CollapseGuard(recipe.limits),
        guard_action=recipe.guard,
    )


def _network(ready: Prepared, device: str) -> Decoder:
    with torch.device("meta"):
        network = Decoder(ready.files.model)
    network.to_empty(device=pick_device(device))
    load_into(network, load_weights(ready.first_weights))
    return network


def _origin(
    init: Path | str | None, out: Path | None, resume: bool, *, keeps_reference: bool
) -> tuple[RunFiles, Path, str]:
    """The run that tokenizer and architecture come from, the file with the first weights, and their hash."""
    if init is not None:
        files = read_run(init, CHAT)
        weights = _weights_file(files.folder)
        return files, weights, file_sha256(weights)
    if not (resume and out is not None):
        raise InputError(
            "reinforcement learning without a model to start from",
            "a run that was trained on conversations",
            "add --init RUN",
        )
    files = read_run(out, CHAT)
    weights = _weights_file(files.folder)
    if keeps_reference:
        weights = Path(out) / REFERENCE
        if not weights.exists():
            raise InputError(
                f"{weights} is missing", "the weights that the run began with", "add --init with that run"
            )
    return files, weights, str(files.config["objective"]["init_sha256"])


def _name(reward: Reward) -> str:
    return str(getattr(reward, "name", getattr(reward, "__name__", type(reward).__name__)))


def _weights_file(folder: Path) -> Path:
    """The file that `read_model_weights` reads."""
    return folder / (AVERAGED if (folder / AVERAGED).exists() else WEIGHTS)


def _settings(ready: Prepared) -> dict[str, Any]:
    """What config.json says of how and from what a run has learned."""
    recipe = ready.recipe
    return {
        "init_sha256": ready.init_sha256,
        "reward": _name(ready.reward.reward),
        "grpo": asdict(recipe.grpo),
        "compile": recipe.compile,
        "limits": asdict(recipe.limits),
        **ready.data.counts(),
        "validation_samples": recipe.validation_samples,
    }
