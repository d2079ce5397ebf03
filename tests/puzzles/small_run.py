"""A small training run: for the tests, and as a script for those that kill it or run it under torchrun.

python small_run.py DATA OUT STEPS OPTIMIZER [resume]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from thinkling.puzzles.laptop_recipes import sudoku_4x4
from thinkling.puzzles.recipe import HRMRecipe
from thinkling.puzzles.train import train_recipe


def short_recipe(steps: int = 40, **changes: object) -> HRMRecipe:
    """The 4x4 recipe by steps instead of by the clock, in fp32: the same numbers on every machine."""
    recipe = sudoku_4x4()
    train = replace(
        recipe.train,
        steps=steps,
        validate_every=0,
        checkpoint_every=20,
        log_every=4,
        compute_dtype="float32",
    )
    return replace(recipe, train=replace(train, **changes), validation_size=20)  # type: ignore[arg-type]  # a test's


if __name__ == "__main__":
    data, out, steps, optimizer = sys.argv[1:5]
    torch.set_num_threads(1)
    train_recipe(
        short_recipe(int(steps), optimizer=optimizer, learning_rate=3e-4, ema_decay=0.9),
        Path(data),
        Path(out),
        resume="resume" in sys.argv[5:],
        quiet=True,
    )
