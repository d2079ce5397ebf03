"""`thinkling train lm-grpo`: train a language model by reinforcement, on problems with answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.cli.train_arguments import TrainArguments
from thinkling.lm.model import Decoder
from thinkling.lm.rl.recipe import RECIPES as REINFORCEMENT
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.rl.train import prepared, train_grpo
from thinkling.training.trainer import TrainResult

RECIPES = tuple(REINFORCEMENT)
"""Names of the recipes on the command line."""


@dataclass(frozen=True, kw_only=True)
class GrpoArguments(TrainArguments):
    """Train a language model by reinforcement (GRPO with the improvements of DAPO and Dr. GRPO): it answers each
    problem several times, and what earns more than the others of its group becomes likelier."""

    recipe: Annotated[GrpoRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""
    data: Path
    """Problems with answers as JSON lines (.jsonl, also .gz), reasoning not needed; or a folder with train.jsonl and
    validation.jsonl; or hf://datasets/OWNER/NAME."""
    init: Path | None = None
    """The run to start from, trained on conversations; not needed with --resume."""

    def train(self) -> TrainResult:
        """Train on the problems."""
        return train_grpo(
            self.recipe,
            self.init,
            self.data,
            self.out,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
        )

    def preview(self) -> dict[str, Any]:
        """The settings, and what they cost at most."""
        ready = prepared(self.recipe, self.init, self.data, self.out, resume=self.resume)
        with torch.device("meta"):
            params = Decoder(ready.files.model).params
        grpo, steps = self.recipe.grpo, self.recipe.train.steps
        rollouts = -(-steps // grpo.updates_per_rollout)
        completions = grpo.prompts_per_step * grpo.group_size
        prompt = sum(len(prompt.tokens) for prompt in ready.data.train) / len(ready.data.train)
        positions = completions * (prompt + grpo.max_tokens)
        # 2 operations for each parameter and position that is read, 6 where it is learned from (Kaplan et al. 2020,
        # arXiv 2001.08361, section 2.1); the reference reads once.
        reads = 2.0 * (1 + (grpo.kl_beta > 0))
        return {
            "config": dataclasses.asdict(self.recipe),
            "params": params,
            "steps": steps,
            "rollouts": rollouts,
            "completions": rollouts * completions,
            "longest": ready.longest,
            "flops_at_most": params * positions * (reads * rollouts + 6.0 * steps),
            **ready.data.counts(),
        }


def defaults(name: str) -> GrpoArguments:
    """The arguments of a recipe."""
    return GrpoArguments(recipe_name=name, data=tyro.MISSING, out=tyro.MISSING, recipe=REINFORCEMENT[name]())
