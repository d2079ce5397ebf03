"""`thinkling train` for puzzle recipes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.train_arguments import TrainArguments
from thinkling.data.array_store import read_dataset
from thinkling.puzzles.cost import cost
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.recipe import HRMRecipe, PuzzleRecipe, TRMRecipe
from thinkling.puzzles.recipes import RECIPES, recipe_named
from thinkling.puzzles.train import architecture, fitted, train_recipe
from thinkling.training.trainer import TrainResult

__all__ = ["RECIPES", "HRMArguments", "PuzzleArguments", "TRMArguments", "defaults"]


@dataclass(frozen=True, kw_only=True)
class PuzzleArguments(TrainArguments):
    """Train a puzzle recipe on a data set. Every setting of the recipe is a flag."""

    data: Path
    """The data set folder, or hf://datasets/OWNER/NAME."""
    task: Path | None = None
    """For a table: a Python file with its symmetries and checker; naming it here runs it."""

    @property
    @abstractmethod
    def settings(self) -> PuzzleRecipe:
        """The recipe."""

    def train(self) -> TrainResult:
        """Train on the data set."""
        return train_recipe(
            self.settings,
            fetched(self.data),
            self.out,
            resume=self.resume,
            device=self.device,
            quiet=self.quiet,
            plugin=self.task,
        )

    def preview(self) -> dict[str, Any]:
        """The settings fitted to the data set, and what they cost."""
        resolved = fitted(self.settings, read_dataset(fetched(self.data)))
        with torch.device("meta"):
            network = build(architecture(resolved), asdict(resolved.model))
        costs = [
            (
                cost(
                    network,
                    resolved.halting.learning,
                    resolved.batch_size,
                    carries=resolved.carries,
                    cycles=cycles,
                ),
                steps,
            )
            for cycles, steps in resolved.depth.steps_of_stages(resolved.train.steps, resolved.model.cycles)
        ]
        needed = costs[-1][0]
        return {
            "config": asdict(resolved),
            "params": needed.params,
            "memory_bytes": needed.training_bytes,
            "flops_per_example_segment": needed.training_flops,
            "flops_per_step": needed.training_flops * resolved.batch_size,
            "flops": resolved.batch_size * sum(of_stage.training_flops * steps for of_stage, steps in costs),
        }


@dataclass(frozen=True, kw_only=True)
class HRMArguments(PuzzleArguments):
    """Train an HRM recipe on a data set. Every setting of the recipe is a flag."""

    recipe: Annotated[HRMRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""

    @property
    def settings(self) -> HRMRecipe:
        """The recipe."""
        return self.recipe


@dataclass(frozen=True, kw_only=True)
class TRMArguments(PuzzleArguments):
    """Train a TRM recipe on a data set. Every setting of the recipe is a flag."""

    recipe: Annotated[TRMRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""

    @property
    def settings(self) -> TRMRecipe:
        """The recipe."""
        return self.recipe


def defaults(name: str) -> PuzzleArguments:
    """The arguments of a recipe."""
    recipe = recipe_named(name)
    kind = TRMArguments if isinstance(recipe, TRMRecipe) else HRMArguments
    return kind(
        recipe_name=name,
        data=tyro.MISSING,
        out=tyro.MISSING,
        recipe=recipe,  # type: ignore[arg-type]  # by the kind
    )
