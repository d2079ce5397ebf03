"""A small pre-training run: for the tests, and as a script for those that kill it or run it under torchrun.

python small_text_run.py CORPUS OUT STEPS OPTIMIZER [resume]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.recipe import ThinkingBertRecipe
from thinkling.thinking_bert.recipes import quick
from thinkling.thinking_bert.rows import Stage
from thinkling.thinking_bert.train import train_recipe


def short_recipe(steps: int = 30, **changes: object) -> ThinkingBertRecipe:
    """The quick recipe with a tiny model, two stages and up to three rounds, in fp32."""
    recipe = quick()
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
        model=ThinkingBertConfig(
            vocab_size=300,
            max_length=32,
            hidden_size=32,
            num_heads=2,
            inner_size=48,
            low_layers=2,
            high_layers=1,
            L_cycles=1,
            pooling_window=4,
        ),
        halting=HaltingConfig(max_steps=3, first_limit=1, limit_growth=max(1, steps // 4), exploration=0.3),
        train=replace(train, **changes),  # type: ignore[arg-type]  # a test's
        stages=(
            Stage(length=16, batch_size=8, share=0.5),
            Stage(length=32, batch_size=4, share=0.5),
        ),
        validation_rows=16,
    )


if __name__ == "__main__":
    corpus, out, steps, optimizer = sys.argv[1:5]
    torch.set_num_threads(1)
    train_recipe(
        short_recipe(int(steps), optimizer=optimizer, learning_rate=1e-3, ema_decay=0.9),
        Path(corpus),
        Path(out),
        resume="resume" in sys.argv[5:],
        quiet=True,
    )
