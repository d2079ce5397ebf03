"""A small 4x4 data set, and a run trained on it, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from thinkling.puzzles.datasets import make_sudoku
from thinkling.puzzles.recipes import HRMRecipe, sudoku_4x4
from thinkling.puzzles.train import train_recipe


def short_recipe(steps: int = 40, **changes: object) -> HRMRecipe:
    """The 4x4 recipe by steps instead of by the clock, in fp32: the same numbers on every machine."""
    recipe = sudoku_4x4()
    train = replace(
        recipe.train,
        steps=steps,
        time_limit_seconds=0,
        lr_by_time=False,
        validate_every=0,
        validate_every_seconds=0,
        checkpoint_every=20,
        compute_dtype="float32",
    )
    return replace(recipe, train=replace(train, **changes), validation_size=20)  # type: ignore[arg-type]  # a test's


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 training and 40 test puzzles of 4x4."""
    folder = tmp_path_factory.mktemp("data") / "sudoku4"
    make_sudoku(folder, size=4, train=120, test=40, seed=5)
    return folder


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    train_recipe(short_recipe(60), data, folder, quiet=True)
    return folder
