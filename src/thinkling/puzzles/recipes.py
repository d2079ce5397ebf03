"""The recipes there are, by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable

from thinkling.errors import InputError, nearest
from thinkling.puzzles import laptop_recipes as laptop
from thinkling.puzzles import published_recipes as published
from thinkling.puzzles.recipe import PuzzleRecipe

RECIPES: dict[str, Callable[[], PuzzleRecipe]] = {
    "sudoku-4x4": laptop.sudoku_4x4,
    "sudoku-6x6": laptop.sudoku_6x6,
    "sudoku-9x9": laptop.sudoku_9x9,
    "sudoku-extreme": laptop.sudoku_extreme,
    "maze": laptop.maze,
    "maze-30x30": laptop.maze_30x30,
    "arc-small": laptop.arc_small,
    "table": laptop.table,
    "trm-sudoku-extreme": published.trm_sudoku_extreme,
    "hrm-sudoku-extreme": published.hrm_sudoku_extreme,
    "trm-mlp-sudoku-extreme": published.trm_mlp_sudoku_extreme,
    "trm-attention-sudoku-extreme": published.trm_attention_sudoku_extreme,
    "hrm-maze-hard": published.hrm_maze_hard,
    "trm-maze-hard": published.trm_maze_hard,
    "hrm-arc": published.hrm_arc,
    "trm-arc": published.trm_arc,
}
"""A function that makes each recipe."""


def recipe_named(name: str) -> PuzzleRecipe:
    """A recipe by its name on the command line.

    Raises:
        InputError: there is none of this name; says the nearest.
    """
    if name not in RECIPES:
        raise InputError(f"recipe {name!r}", ", ".join(RECIPES), nearest(name, RECIPES))
    return RECIPES[name]()
