"""A small 4x4 data set, and a run trained on it, shared by the tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_run import short_recipe

from thinkling.puzzles.datasets.sudoku import make_sudoku
from thinkling.puzzles.train import train_recipe


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
