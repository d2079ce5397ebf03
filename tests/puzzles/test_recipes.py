"""Recipes: the published ones have the published numbers, and the full size really trains."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from arc_tasks import made_tasks, write_competition

from thinkling.artifacts.run_folder import read_config
from thinkling.puzzles.datasets.arc import import_arc
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.recipe import TRMRecipe
from thinkling.puzzles.recipes import RECIPES, recipe_named
from thinkling.puzzles.train import architecture, train_recipe

PUBLISHED = {
    # name: (batch, rate, embedding's rate, decay, epochs * examples), from the READMEs of HRM and TRM
    "hrm-sudoku-extreme": (384, 7e-5, 7e-5, 1.0, 20_000 * 1_000),
    "trm-mlp-sudoku-extreme": (768, 1e-4, 1e-4, 1.0, 50_000 * 1_000),
    "trm-attention-sudoku-extreme": (768, 1e-4, 1e-4, 1.0, 50_000 * 1_000),
    "hrm-maze-hard": (768, 1e-4, 1e-4, 1.0, 20_000 * 1_000),
    "trm-maze-hard": (768, 1e-4, 1e-4, 1.0, 50_000 * 1_000),
    "hrm-arc": (768, 1e-4, 1e-2, 0.1, 100_000 * 3_988),
    "trm-arc": (768, 1e-4, 1e-2, 0.1, 100_000 * 3_988),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_have_the_published_numbers(name: str) -> None:
    recipe = recipe_named(name)
    batch, rate, embedding_rate, decay, shown = PUBLISHED[name]
    assert recipe.batch_size == batch
    assert (recipe.train.learning_rate, recipe.train.puzzle_emb_lr) == (rate, embedding_rate)
    assert (recipe.train.weight_decay, recipe.train.puzzle_emb_weight_decay) == (decay, decay)
    assert recipe.train.steps == math.floor(shown / batch)
    assert (recipe.model.hidden_size, recipe.model.num_heads, recipe.model.puzzle_emb_dim) == (512, 8, 512)
    assert recipe.halting.max_steps == 16
    if isinstance(recipe, TRMRecipe):
        long_grids = recipe.model.seq_len == 900
        cycles = (recipe.model.L_layers, recipe.model.H_cycles, recipe.model.L_cycles)
        assert cycles == ((2, 3, 4) if long_grids else (2, 3, 6))
        assert recipe.train.ema_decay == 0.999
    else:
        assert (recipe.model.H_layers, recipe.model.L_layers) == (4, 4)


def test_every_recipe_is_one_of_the_two_kinds() -> None:
    assert set(PUBLISHED) == {name for name in RECIPES if name.startswith(("hrm-", "trm-"))}


@pytest.mark.slow
@pytest.mark.parametrize("recipe_name", ["hrm-arc", "trm-arc"])
def test_the_full_size_trains_on_arc(recipe_name: str, tmp_path: Path) -> None:
    """27 and 7 million parameters, the 30x30 canvas and 1,000 augmentations of a task; only the batch is small."""
    source = write_competition(tmp_path, "training", made_tasks("one"))
    assert import_arc([source], tmp_path / "data", test_set="training")["canvas"] == 30
    recipe = recipe_named(recipe_name)
    short = dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, steps=3, log_every=1, checkpoint_every=0),
        halting=dataclasses.replace(recipe.halting, max_steps=1),
        batch_size=1,
    )
    assert train_recipe(short, tmp_path / "data", tmp_path / "run", quiet=True).step == 3
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))
    trained = load(tmp_path / "run", compute_dtype="float32").network
    fresh = build(architecture(recipe), read_config(tmp_path / "run")["model"], seed=recipe.train.seed)
    for name in ("lm_head.weight", "L_level.layers.0.mlp.down_proj.weight", "puzzle_emb.weights"):
        assert not torch.equal(trained.state_dict()[name], fresh.state_dict()[name])
