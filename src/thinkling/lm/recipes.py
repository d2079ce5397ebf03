"""The recipes of pre-training, by their names on the command line: one for each size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from thinkling.lm.presets import PRESETS
from thinkling.lm.recipe import PretrainRecipe
from thinkling.training.config import TrainConfig

_WARMUP_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class _Laptop:
    """What differs between the small sizes."""

    steps: int
    length: int
    batch_size: int
    learning_rate: float
    muon_learning_rate: float


_LAPTOP: Mapping[str, _Laptop] = {
    "1m": _Laptop(steps=2000, length=256, batch_size=32, learning_rate=6e-3, muon_learning_rate=0.04),
    "5m": _Laptop(steps=3000, length=256, batch_size=32, learning_rate=4e-3, muon_learning_rate=0.03),
    "15m": _Laptop(steps=5000, length=512, batch_size=32, learning_rate=3e-3, muon_learning_rate=0.02),
    "50m": _Laptop(steps=20_000, length=1024, batch_size=32, learning_rate=2e-3, muon_learning_rate=0.02),
}


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What differs between the published sizes: 2^19 tokens a step in parts that fit on one accelerator of 80 GB."""

    length: int
    batch_size: int
    accumulation: int
    tokens: float


_PUBLISHED: Mapping[str, _Published] = {
    "500m": _Published(length=8192, batch_size=4, accumulation=16, tokens=10e9),
    "1b": _Published(length=8192, batch_size=2, accumulation=32, tokens=50e9),
    "3b": _Published(length=8192, batch_size=1, accumulation=64, tokens=100e9),
}


def laptop(size: str) -> PretrainRecipe:
    """A small size, for minutes to hours on a CPU, with Muon for the matrices."""
    choice = _LAPTOP[size]
    return PretrainRecipe(
        model=PRESETS[size],
        length=choice.length,
        batch_size=choice.batch_size,
        train=TrainConfig(
            steps=choice.steps,
            optimizer="muon",
            learning_rate=choice.learning_rate,
            muon_learning_rate=choice.muon_learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            decay_biases=False,
            grad_clip=1.0,
            warmup_steps=round(_WARMUP_SHARE * choice.steps),
            min_lr_ratio=0.05,
            validate_every=choice.steps // 4,
            checkpoint_every=250,
        ),
    )


def published(size: str) -> PretrainRecipe:
    """A published size: AdamW, its highest rate 3e-4, a warm-up of 2 %, a cosine down to a tenth."""
    choice = _PUBLISHED[size]
    steps = round(choice.tokens / (choice.length * choice.batch_size * choice.accumulation))
    return PretrainRecipe(
        model=PRESETS[size],
        length=choice.length,
        batch_size=choice.batch_size,
        checkpointing=True,
        train=TrainConfig(
            steps=steps,
            accumulation=choice.accumulation,
            optimizer="adamw",
            learning_rate=3e-4,
            betas=(0.9, 0.95),
            weight_decay=0.1,
            decay_biases=False,
            grad_clip=1.0,
            warmup_steps=round(_WARMUP_SHARE * steps),
            min_lr_ratio=0.1,
            validate_every=1000,
            checkpoint_every=500,
        ),
    )


RECIPES: dict[str, Callable[[], PretrainRecipe]] = {
    **{f"lm-{size}": functools.partial(laptop, size) for size in _LAPTOP},
    **{f"lm-{size}": functools.partial(published, size) for size in _PUBLISHED},
}
"""A function that makes each recipe."""
