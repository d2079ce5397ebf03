"""The recipes of Thinking-BERT, by their names on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable

from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.presets import PRESETS
from thinkling.thinking_bert.recipe import ThinkingBertRecipe
from thinkling.thinking_bert.rows import Stage
from thinkling.training.config import TrainConfig


def quick() -> ThinkingBertRecipe:
    """Width 128 and a vocabulary of 8,192, on 30 MB of text in less than half an hour on two cores."""
    return _recipe(PRESETS["128"], steps=2600, rounds=2, limit_growth=1560)


def default() -> ThinkingBertRecipe:
    """The default size, width 256 and a vocabulary of 16,384, on 30 MB of text in two hours on one core of a CPU."""
    return _recipe(PRESETS["256"], steps=8000, rounds=2, limit_growth=6800)


def larger(size: str) -> ThinkingBertRecipe:
    """Width 384, 512 or 768 (ModernBERT-base's layers, shared out to the two levels), for a GPU and a larger corpus."""
    preset = PRESETS["768-split" if size == "768" else size]
    return _recipe(preset, steps=100_000, rounds=3, limit_growth=40_000)


def _recipe(model: ThinkingBertConfig, *, steps: int, rounds: int, limit_growth: int) -> ThinkingBertRecipe:
    """Short rows first, and one round at first: what is learned there carries over to more rounds."""
    return ThinkingBertRecipe(
        model=model,
        halting=HaltingConfig(
            max_steps=rounds, first_limit=1, limit_growth=limit_growth, exploration=0.2, threshold=0.49
        ),
        train=TrainConfig(
            steps=steps,
            optimizer="muon",
            learning_rate=4e-3,
            muon_learning_rate=0.04,
            betas=(0.9, 0.98),
            weight_decay=0.05,
            decay_biases=False,
            grad_clip=1.0,
            min_lr_ratio=0.05,
            warmup_steps=100,
            validate_every=steps // 4,
            checkpoint_every=250,
        ),
        stages=(
            Stage(length=64, batch_size=128, share=0.5),
            Stage(length=96, batch_size=86, share=0.25),
            Stage(length=128, batch_size=64, share=0.25),
        ),
    )


RECIPES: dict[str, Callable[[], ThinkingBertRecipe]] = {
    "thinking-bert": default,
    "thinking-bert-quick": quick,
    **{f"thinking-bert-{size}": functools.partial(larger, size) for size in ("384", "512", "768")},
}
"""A function that makes each recipe."""
