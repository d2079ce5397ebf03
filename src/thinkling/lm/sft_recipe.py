"""How a language model is fine-tuned on conversations: everything a training run needs except model and data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from thinkling.errors import InputError
from thinkling.training.config import TrainConfig

_FROM_EPOCHS = 1
"""Steps of a recipe whose steps follow from its epochs."""

_VALIDATIONS_PER_EPOCH = 2


@dataclass(frozen=True, kw_only=True)
class SftRecipe:
    """How to fine-tune a language model; the architecture is that of the model to start from."""

    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=_FROM_EPOCHS,
            optimizer="muon",
            learning_rate=2e-3,
            muon_learning_rate=0.02,
            warmup_steps=0,
            min_lr_ratio=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.01,
            decay_biases=False,
            grad_clip=1.0,
            validate_every=0,
            checkpoint_every=0,
        )
    )
    """Optimiser, schedule, checkpoints. Steps (where they are 1), warm-up and intervals (where they are 0) follow from
    `epochs`: the cosine ends at 0, and training validates and saves twice an epoch."""
    epochs: float = 2.0
    """Times that each example is learned from (0: `train.steps` counts, whatever it is)."""
    warmup_share: float = 0.03
    """Share of the steps (with `train.lr_by_time` of at most those of one epoch) that is warm-up, where
    `train.warmup_steps` is 0."""
    length: int = 0
    """Positions of a row, into which whole examples are packed (0: the context of the model)."""
    batch_size: int = 16
    """Rows of a step (of a part of one, where gradients are accumulated), over all processes."""
    validation_share: float = 0.05
    """Share of the questions that is cut off to choose the best weights by, where the data has no validation file."""
    validation_examples: int = 500
    """Most examples that are scored at a validation."""
    z_loss: float = 0.0
    """Weight of the squared logarithm of the softmax's denominator (0: off)."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass instead of being kept."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "validation_examples"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set {name}")
        for name in ("epochs", "length", "z_loss"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}", "0 or more", f"set {name}")
        if not 0 <= self.warmup_share < 1:
            raise InputError(
                f"warmup_share {self.warmup_share}", "0 up to, but not including, 1", "set warmup_share"
            )
        if not 0 < self.validation_share < 1:
            raise InputError(
                f"validation_share {self.validation_share}",
                "between 0 and 1, both excluded",
                "set validation_share",
            )

    def row_length(self, context: int) -> int:
        """Positions of a row for a model with this context.

        Raises:
            InputError: rows that are longer than the context.
        """
        if self.length > context:
            raise InputError(
                f"length {self.length} for a model with a context of {context} tokens",
                f"at most {context}, or 0 for all of it",
                "set length",
            )
        return self.length or context

    def resolved(self, rows: int) -> SftRecipe:
        """The same with the steps that its epochs take on so many rows, and the warm-up and intervals of these."""
        train = self.train
        epoch = rows / (self.batch_size * train.accumulation)
        steps = train.steps
        if self.epochs and steps == _FROM_EPOCHS:
            steps = max(1, math.ceil(self.epochs * epoch))
        interval = max(1, math.ceil(min(epoch, steps) / _VALIDATIONS_PER_EPOCH))
        # A clock that ends training knows no number of steps: a limit set high would never let the warm-up end.
        warmed = min(steps, math.ceil(epoch)) if train.lr_by_time else steps
        settings = dataclasses.replace(
            train,
            steps=steps,
            warmup_steps=train.warmup_steps or round(self.warmup_share * warmed),
            validate_every=train.validate_every or interval,
            checkpoint_every=train.checkpoint_every or interval,
        )
        return dataclasses.replace(self, train=settings)


def default() -> SftRecipe:
    """For the laptop sizes: Muon for the matrices, at rates that move a small model far in a few hundred steps."""
    return SftRecipe()


def large() -> SftRecipe:
    """For the published sizes: AdamW at a low rate, and activations computed again in the backward pass."""
    recipe = SftRecipe()
    settings = dataclasses.replace(recipe.train, optimizer="adamw", learning_rate=2e-5)
    return dataclasses.replace(recipe, train=settings, checkpointing=True)


RECIPES: dict[str, Callable[[], SftRecipe]] = {"lm-sft": default, "lm-sft-large": large}
"""A function that makes each recipe, by its name on the command line."""
