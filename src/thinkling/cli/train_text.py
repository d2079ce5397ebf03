"""`thinkling train` for Thinking-BERT: pre-training on a corpus, fine-tuning on labelled texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.train_arguments import TrainArguments
from thinkling.data.text_store import is_text_store, read_text_store
from thinkling.thinking_bert.classify_data import read_classify_data
from thinkling.thinking_bert.classify_recipe import RECIPE_NAME as CLASSIFY
from thinkling.thinking_bert.classify_recipe import ClassifyRecipe, train_classifier
from thinkling.thinking_bert.cost import cost
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.recipe import ThinkingBertRecipe
from thinkling.thinking_bert.recipes import RECIPES as PRETRAINING
from thinkling.thinking_bert.run_files import MASKED_LANGUAGE, read_run
from thinkling.thinking_bert.train import fitted, train_recipe
from thinkling.training.trainer import TrainResult

RECIPES = (*PRETRAINING, CLASSIFY)
"""Names of the recipes on the command line."""


@dataclass(frozen=True, kw_only=True)
class TextArguments(TrainArguments):
    """Pre-train a Thinking-BERT on a corpus. Every setting of the recipe is a flag."""

    recipe: Annotated[ThinkingBertRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""
    data: Path | None = None
    """A tokenised corpus, a text file (.jsonl, .txt, also .gz) or a folder of them, or hf://datasets/OWNER/NAME; the
    documentation strings of the installed Python packages where not given."""
    modernbert: Path | None = None
    """A ModernBERT checkpoint in Transformers format (a folder or hf://OWNER/NAME) whose first layers become the
    low-level ones; its embeddings belong to another tokenizer and are not taken."""
    init: Path | None = None
    """A pre-trained run to start from: its weights, architecture and tokenizer, to go on with texts of another kind."""

    def train(self) -> TrainResult:
        """Train on the corpus."""
        return train_recipe(
            self.recipe,
            None if self.data is None else fetched(self.data),
            self.out,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
            modernbert=self.modernbert,
            init=self.init,
        )

    def preview(self) -> dict[str, Any]:
        """The settings, and what they cost when no row halts early: less is spent where rows do."""
        recipe = self.recipe
        if self.data is not None and is_text_store(self.data):
            recipe = fitted(recipe, read_text_store(self.data))
        if self.init is not None:
            recipe = dataclasses.replace(recipe, model=read_run(self.init, MASKED_LANGUAGE).model)
        with torch.device("meta"):
            network = ThinkingBert(recipe.model)
        costs = [
            cost(
                network,
                length=stage.length,
                mask_rate=recipe.masking.rate,
                learning=recipe.halting.learning,
                batch_size=stage.batch_size,
            )
            for stage in recipe.stages
        ]
        steps = [recipe.train.steps * stage.share for stage in recipe.stages]
        sizes = [stage.batch_size for stage in recipe.stages]
        return {
            "config": dataclasses.asdict(recipe),
            "params": costs[0].params,
            "memory_bytes": max(needed.training_bytes for needed in costs),
            "flops_per_token_round": costs[-1].training_flops / recipe.stages[-1].length,
            "token_rounds": sum(
                count * size * stage.length
                for count, size, stage in zip(steps, sizes, recipe.stages, strict=True)
            ),
            "flops": sum(
                count * size * needed.training_flops
                for count, size, needed in zip(steps, sizes, costs, strict=True)
            ),
        }


@dataclass(frozen=True, kw_only=True)
class ClassifyArguments(TrainArguments):
    """Fine-tune a Thinking-BERT to classify texts. Every setting of the recipe is a flag."""

    recipe: Annotated[ClassifyRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""
    data: Path
    """Labelled texts: a TSV file (label, text), a CSV file, or a folder with train and dev."""
    init: Path | None = None
    """The pre-trained run to start from; not needed with --resume."""
    from_scratch: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take tokenizer and architecture of --init, and draw the weights anew: to see what pre-training is worth."""
    dev: Path | None = None
    """Labelled texts to choose the best weights by; a share of --data where not given."""

    def train(self) -> TrainResult:
        """Fine-tune on the labelled texts."""
        return train_classifier(
            self.recipe,
            self.data,
            self.out,
            init=self.init,
            from_scratch=self.from_scratch,
            dev=self.dev,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
        )

    def preview(self) -> dict[str, Any]:
        """The settings with the steps that the texts make."""
        texts = read_classify_data(
            fetched(self.data), self.dev, dev_share=self.recipe.dev_share, seed=self.recipe.train.seed
        )
        return {
            "config": dataclasses.asdict(self.recipe.resolved(len(texts.train))),
            "train_texts": len(texts.train),
            "dev_texts": len(texts.dev),
            "labels": list(texts.label_names),
        }


def defaults(name: str) -> TextArguments | ClassifyArguments:
    """The arguments of a recipe."""
    if name == CLASSIFY:
        return ClassifyArguments(
            recipe_name=name, data=tyro.MISSING, out=tyro.MISSING, recipe=ClassifyRecipe()
        )
    return TextArguments(recipe_name=name, out=tyro.MISSING, recipe=PRETRAINING[name]())
