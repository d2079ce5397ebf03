"""`thinkling train RECIPE --data DIR --out RUN`: train, or go on with a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.cost import cost
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.recipe import HRMRecipe, PuzzleRecipe, TRMRecipe
from thinkling.puzzles.recipes import RECIPES, recipe_named
from thinkling.puzzles.train import architecture, fitted, train_recipe


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Train a recipe on a data set. Every setting of the recipe is a flag."""

    recipe_name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """The recipe to start from."""
    data: Path
    """The data set folder, or hf://datasets/OWNER/NAME."""
    out: Path
    """The run folder."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the last checkpoint in the run folder."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the resolved settings and what training will cost, and stop."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress line."""
    task: Path | None = None
    """For a table: a Python file with its symmetries and checker; naming it here runs it."""


@dataclass(frozen=True, kw_only=True)
class HRMArguments(Arguments):
    """Train an HRM recipe on a data set. Every setting of the recipe is a flag."""

    recipe: Annotated[HRMRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""


@dataclass(frozen=True, kw_only=True)
class TRMArguments(Arguments):
    """Train a TRM recipe on a data set. Every setting of the recipe is a flag."""

    recipe: Annotated[TRMRecipe, tyro.conf.arg(name="")]
    """The recipe's settings."""


def defaults(words: Sequence[str]) -> Any:
    """The arguments of the recipe that the first word names, None where there is none yet."""
    if not words or words[0] in ("-h", "--help"):
        return None
    if words[0].startswith("-"):
        raise InputError(
            f"{words[0]!r} before the recipe", "the recipe first", f"choose one of {', '.join(RECIPES)}"
        )
    recipe = recipe_named(words[0])
    kind = TRMArguments if isinstance(recipe, TRMRecipe) else HRMArguments
    return kind(
        recipe_name=words[0],
        data=tyro.MISSING,
        out=tyro.MISSING,
        recipe=recipe,  # type: ignore[arg-type]  # by the kind
    )


def run(arguments: HRMArguments | TRMArguments) -> dict[str, Any] | int:
    """Train, and say where the run is and how good it is."""
    if arguments.dry_run:
        return preview(arguments.recipe, fetched(arguments.data))
    result = train_recipe(
        arguments.recipe,
        fetched(arguments.data),
        arguments.out,
        resume=arguments.resume,
        device=arguments.device,
        quiet=arguments.quiet,
        plugin=arguments.task,
    )
    if os.environ.get("RANK", "0") != "0":
        return 0  # under torchrun the first process speaks for all
    if result.stopped == "signal":
        print(f"stopped at step {result.step}; add --resume to go on", file=sys.stderr)
    return {
        "run": str(result.run),
        "step": result.step,
        "metrics": result.metrics,
        "train_seconds": result.train_seconds,
        "stopped": result.stopped,
    }


def preview(recipe: PuzzleRecipe, data: Path) -> dict[str, Any]:
    """The resolved settings with parameters, memory and operations, without training."""
    resolved = fitted(recipe, read_dataset(data))
    with torch.device("meta"):
        network = build(architecture(resolved), asdict(resolved.model))
    needed = cost(network, resolved.halting.learning, resolved.batch_size)
    return {
        "config": asdict(resolved),
        "params": needed.params,
        "memory_bytes": needed.training_bytes,
        "flops_per_example_segment": needed.training_flops,
        "flops_per_step": needed.training_flops * resolved.batch_size,
        "flops": needed.training_flops * resolved.batch_size * resolved.train.steps,
    }
