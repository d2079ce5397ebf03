"""Recipes: the published ones have the published numbers, and the full size really trains."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from arc_tasks import made_tasks, write_competition
from small_run import short_recipe

from thinkling.artifacts.run_folder import read_config
from thinkling.errors import InputError
from thinkling.puzzles.datasets.arc import import_arc
from thinkling.puzzles.datasets.sudoku import make_sudoku
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


LATER = {"trm-sudoku-extreme"}
"""For GPUs too, but with settings of later papers."""


def test_every_recipe_is_one_of_the_two_kinds() -> None:
    assert set(PUBLISHED) | LATER == {name for name in RECIPES if name.startswith(("hrm-", "trm-"))}


@pytest.mark.parametrize("name", [name for name in RECIPES if "sudoku-extreme" in name])
def test_sudoku_extreme_is_learned_from_a_thousand_puzzles(name: str) -> None:
    """As published; the laptop's recipe learns from all there are."""
    assert recipe_named(name).train_size == (0 if name == "sudoku-extreme" else 1_000)
    assert recipe_named(name).augment


def test_the_later_recipe_trains_at_full_size(tmp_path: Path) -> None:
    """5 million parameters, Muon and noise on the carry; only the batch is small."""
    make_sudoku(tmp_path / "data", train=20, test=2, seed=1)
    recipe = recipe_named("trm-sudoku-extreme")
    short = dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, steps=2, log_every=1, checkpoint_every=0),
        halting=dataclasses.replace(recipe.halting, max_steps=1),
        batch_size=2,
        validation_size=2,
    )
    assert train_recipe(short, tmp_path / "data", tmp_path / "run", quiet=True).step == 2
    trained, config = load(tmp_path / "run", compute_dtype="float32"), read_config(tmp_path / "run")
    assert 4e6 < trained.params < 6e6
    assert (config["train_size"], config["noise"]) == (1_000, {"initial": 1.0, "path": 0.01})
    fresh = build("trm", config["model"], seed=recipe.train.seed).state_dict()
    for name in ("lm_head.weight", "L_level.layers.0.mlp_t.down_proj.weight"):
        assert not torch.equal(trained.network.state_dict()[name], fresh[name])


def test_a_run_with_a_curriculum_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    """4 steps and 4 more are 8 steps: which puzzle comes when depends on its number only."""

    def trained(
        out: str, steps: int, *, resume: bool = False, curriculum: int = 150
    ) -> dict[str, torch.Tensor]:
        recipe = dataclasses.replace(
            short_recipe(steps, min_lr_ratio=1.0, warmup_steps=1), curriculum=curriculum, train_size=60
        )
        train_recipe(recipe, data, tmp_path / out, resume=resume, quiet=True)
        return load(tmp_path / out, compute_dtype="float32").network.state_dict()

    whole = trained("whole", 8)
    trained("parts", 4)
    assert read_config(tmp_path / "parts")["curriculum"] == 150
    parts = trained("parts", 8, resume=True)
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    assert not torch.equal(trained("other", 8, curriculum=0)["lm_head.weight"], whole["lm_head.weight"])
    with pytest.raises(InputError, match="curriculum"):
        trained("parts", 9, resume=True, curriculum=0)


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
