"""`thinkling train lm-sft` and `lm-sft-large`: fine-tune a language model on conversations."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.cli.train_arguments import TrainArguments
from thinkling.lm.model import Decoder
from thinkling.lm.sft import prepared, train_sft
from thinkling.lm.sft_recipe import RECIPES as FINE_TUNING
from thinkling.lm.sft_recipe import SftRecipe
from thinkling.training.trainer import TrainResult

RECIPES = tuple(FINE_TUNING)
"""Names of the recipes on the command line."""


@dataclass(frozen=True, kw_only=True)
class SftArguments(TrainArguments):
    """Fine-tune a language model on conversations. Every setting of the recipe is a flag."""

    recipe: Annotated[SftRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""
    data: Path
    """Conversations as JSON lines (.jsonl, also .gz): of messages, of problem, reasoning and answer, GSM8K, NuminaMath
    or OpenHermes; or a folder with train.jsonl and validation.jsonl; or hf://datasets/OWNER/NAME."""
    init: Path | None = None
    """The run to start from; not needed with --resume."""

    def train(self) -> TrainResult:
        """Fine-tune on the conversations."""
        return train_sft(
            self.recipe,
            self.init,
            self.data,
            self.out,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
        )

    def preview(self) -> dict[str, Any]:
        """The settings with the steps that the conversations make, and what was left out of them."""
        ready = prepared(self.recipe, self.init, self.data, self.out, resume=self.resume)
        for warning in ready.warnings():
            print(f"thinkling: {warning}", file=sys.stderr)
        with torch.device("meta"):
            params = Decoder(ready.files.model).params
        steps = ready.recipe.train.steps
        positions = ready.rows.length * ready.recipe.batch_size * ready.recipe.train.accumulation
        return {
            "config": dataclasses.asdict(ready.recipe),
            "params": params,
            "steps": steps,
            "tokens": steps * positions,
            # 6 operations for each parameter and position (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
            "flops": 6.0 * params * steps * positions,
            "fill": ready.rows.fill,
            **ready.counts(),
        }


def defaults(name: str) -> SftArguments:
    """The arguments of a recipe."""
    return SftArguments(recipe_name=name, data=tyro.MISSING, out=tyro.MISSING, recipe=FINE_TUNING[name]())
