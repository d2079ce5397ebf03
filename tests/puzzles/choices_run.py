"""A small training run with one of the choices of a recipe: for the tests, and as a script for torchrun.

python choices_run.py DATA OUT CHOICE
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from small_run import short_recipe

from thinkling.puzzles.recipe import HRMRecipe
from thinkling.puzzles.train import train_recipe
from thinkling.thinking.cycles import DepthCurriculum
from thinkling.thinking.perturbation import CarryNoise

CHOICES: tuple[str, ...] = ("noise", "carries", "depth", "muon", "all")


def recipe_with(choice: str, **training: object) -> HRMRecipe:
    """A short recipe of 16 steps with one choice, with all of them, or with none ("plain")."""
    recipe = short_recipe(16, learning_rate=3e-4, ema_decay=0.9, checkpoint_every=8)
    recipe = replace(recipe, train=replace(recipe.train, **training))  # type: ignore[arg-type]  # a test's
    recipe = replace(recipe, batch_size=8, model=replace(recipe.model, H_cycles=2, hidden_size=32))
    if choice in ("noise", "all"):
        recipe = replace(recipe, noise=CarryNoise(initial=0.5, path=0.05))
    if choice in ("carries", "all"):
        recipe = replace(recipe, carries=3, noise=CarryNoise(initial=0.5, path=recipe.noise.path))
    if choice in ("depth", "all"):
        # The last stage begins between the checkpoint of step 8 and the interruption after step 12.
        recipe = replace(recipe, depth=DepthCurriculum(first_H_cycles=1, first_L_cycles=1, stage_steps=5))
    if choice in ("muon", "all"):
        recipe = replace(recipe, train=replace(recipe.train, optimizer="muon", muon_learning_rate=0.01))
    return recipe


if __name__ == "__main__":
    data, out, choice = sys.argv[1:4]
    torch.set_num_threads(1)
    train_recipe(recipe_with(choice), Path(data), Path(out), quiet=True)
