"""A small pre-training run: for the tests, and as a script for those that run it under torchrun.

python small_pretrain.py OUT STEPS ACCUMULATION CORPUS…
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from thinkling.lm.config import DecoderConfig
from thinkling.lm.pretrain import train_recipe
from thinkling.lm.recipe import PretrainRecipe
from thinkling.lm.recipes import RECIPES

WORDS = (
    "red",
    "blue",
    "green",
    "stone",
    "river",
    "cloud",
    "walks",
    "sleeps",
    "sings",
    "under",
    "over",
    "a",
    "small",
)


def stories(count: int, seed: int = 0, words: int = 20) -> list[str]:
    """Texts that can be learned in seconds: the words come in a fixed order, from any place on."""
    draws = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        begin, length = int(draws.integers(len(WORDS))), int(draws.integers(5, 2 * words))
        told = " ".join(WORDS[(begin + place) % len(WORDS)] for place in range(length))
        texts.append(f"{number}: {told}.")
    return texts


def write_corpus(path: Path, texts: list[str]) -> Path:
    """A text file with a document between blank lines."""
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def short_recipe(steps: int = 20, **changes: object) -> PretrainRecipe:
    """The smallest recipe with a tiny model, in fp32."""
    recipe = RECIPES["lm-1m"]()
    train = replace(
        recipe.train,
        steps=steps,
        validate_every=0,
        checkpoint_every=10,
        log_every=5,
        warmup_steps=5,
        compute_dtype="float32",
    )
    return replace(
        recipe,
        model=DecoderConfig(
            vocab_size=330,
            max_length=128,
            hidden_size=32,
            num_layers=2,
            num_heads=2,
            num_kv_heads=1,
            head_dim=16,
            inner_size=64,
        ),
        train=replace(train, **changes),  # type: ignore[arg-type]  # a test's
        length=32,
        batch_size=8,
        validation_rows=8,
        sample_tokens=8,
    )


if __name__ == "__main__":
    out, steps, accumulation, *data = sys.argv[1:]
    torch.set_num_threads(1)
    train_recipe(
        short_recipe(
            int(steps), accumulation=int(accumulation), optimizer="adamw", learning_rate=1e-3, ema_decay=0.9
        ),
        [Path(source) for source in data],
        Path(out),
        quiet=True,
    )
