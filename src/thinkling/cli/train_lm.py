"""`thinkling train lm-…`: pre-train a language model on text."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.train_arguments import TrainArguments
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import is_text_store, read_text_store
from thinkling.lm.corpora import names_of
from thinkling.lm.model import Decoder
from thinkling.lm.plan import training_flops, training_memory
from thinkling.lm.pretrain import fitted, mixture, started_from, train_recipe
from thinkling.lm.recipe import PretrainRecipe
from thinkling.lm.recipes import RECIPES as PRETRAINING
from thinkling.lm.run_files import read_run
from thinkling.nn.precision import pick_device, resolve_dtype
from thinkling.training.trainer import TrainResult

RECIPES = tuple(PRETRAINING)
"""Names of the recipes on the command line."""


@dataclass(frozen=True, kw_only=True)
class PretrainArguments(TrainArguments):
    """Pre-train a language model on text. Every setting of the recipe is a flag."""

    recipe: Annotated[PretrainRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""
    data: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """A corpus tokenised with --for lm, a text file (.jsonl, .txt, also .gz) or a folder of them, or
    hf://datasets/OWNER/NAME. May be given several times; the weights of the phases are in the same order."""
    init: Path | None = None
    """A run to take weights, architecture and tokenizer from."""

    def train(self) -> TrainResult:
        """Train on the corpora."""
        return train_recipe(
            self.recipe,
            [fetched(source) for source in self.data],
            self.out,
            init=self.init,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
        )

    def preview(self) -> dict[str, Any]:
        """The settings, and what they cost; how often each corpus is read where all of them are tokenised."""
        recipe = self.recipe
        stores = [
            read_text_store(source, kind=ChatTokenizer) for source in self.data if is_text_store(source)
        ]
        if self.init is not None:
            recipe = started_from(recipe, read_run(self.init))
        elif stores:
            recipe = fitted(recipe, stores[0].tokenizer.vocab_size)
        with torch.device("meta"):
            params = Decoder(recipe.model).params
        device = pick_device(self.device)
        dtype = resolve_dtype(recipe.train.compute_dtype, device)
        memory = training_memory(
            recipe.model,
            length=recipe.length,
            rows=recipe.batch_size,
            precision="bf16" if dtype == torch.bfloat16 else "fp32",
            checkpointing=recipe.checkpointing,
        )
        flops = training_flops(recipe.model, recipe.length, checkpointing=recipe.checkpointing)
        seen = {
            "config": dataclasses.asdict(recipe),
            "params": params,
            "tokens": recipe.tokens,
            "tokens_per_step": recipe.tokens // recipe.train.steps,
            "memory_bytes": memory.total,
            "flops_per_token": flops,
            "flops": flops * recipe.tokens,
        }
        if stores and len(stores) == len(self.data):
            epochs = mixture(recipe, stores).epochs(recipe.batch_size)
            seen["epochs"] = dict(zip(names_of(stores), epochs, strict=True))
        return seen


def defaults(name: str) -> PretrainArguments:
    """The arguments of a recipe."""
    return PretrainArguments(recipe_name=name, out=tyro.MISSING, recipe=PRETRAINING[name]())
