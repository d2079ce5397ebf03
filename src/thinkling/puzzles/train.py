"""From a recipe and a data set to a trained run."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from thinkling.data.array_store import Dataset, read_dataset
from thinkling.errors import InputError
from thinkling.nn.precision import pick_device
from thinkling.puzzles.examples import Examples, hard_enough, hold_out
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.recipes import PuzzleRecipe, TRMRecipe
from thinkling.tasks.registry import get_task
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

R = TypeVar("R", bound=PuzzleRecipe)


def fitted(recipe: R, dataset: Dataset) -> R:
    """The recipe with the sizes of a data set filled in."""
    metadata = dataset.train.metadata
    model = dataclasses.replace(
        recipe.model,
        vocab_size=metadata.vocab_size,
        seq_len=metadata.seq_len,
        num_puzzle_ids=metadata.num_puzzle_identifiers,
    )
    return dataclasses.replace(recipe, model=model)


def description(recipe: PuzzleRecipe, dataset: Dataset) -> dict[str, Any]:
    """What config.json says of a run, besides training settings and provenance."""
    return {
        "product": "puzzles",
        "architecture": architecture(recipe),
        "model": asdict(recipe.model),
        "task": _task_settings(dataset),
        "halting": asdict(recipe.halting),
        "objective": {
            "batch_size": recipe.batch_size,
            "loss": recipe.loss,
            "augment": recipe.augment,
            "min_unknown": recipe.min_unknown,
            "validation_size": recipe.validation_size,
        },
    }


def architecture(recipe: PuzzleRecipe) -> str:
    """hrm or trm."""
    return "trm" if isinstance(recipe, TRMRecipe) else "hrm"


def objective_of(
    recipe: PuzzleRecipe, dataset: Dataset, shard: Shard, device: str = "auto"
) -> PuzzleObjective:
    """The model, drawn from the recipe's seed, with its slots and examples; the recipe must be fitted to the data."""
    task = get_task(_task_settings(dataset))
    model = build(architecture(recipe), asdict(recipe.model), seed=recipe.train.seed).to(pick_device(device))
    rest, held_out = hold_out(dataset.train, recipe.validation_size)
    return PuzzleObjective(
        model,
        Examples(hard_enough(rest, recipe.min_unknown), task, augment=recipe.augment),
        Examples(held_out, task, augment=False),
        halting=recipe.halting,
        loss=recipe.loss,
        batch_size=recipe.batch_size,
        seed=recipe.train.seed,
        shard=shard,
        description=description(recipe, dataset),
        compute_dtype=recipe.train.compute_dtype,
    )


def train_recipe(
    recipe: PuzzleRecipe,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TrainResult:
    """Train a recipe on a data set folder. Also called by every process under torchrun.

    Raises:
        InputError: the data, the recipe or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    dataset = read_dataset(data)
    with process_group() as shard:
        objective = objective_of(fitted(recipe, dataset), dataset, shard, device)
        return train(objective, recipe.train, out, resume=resume, data_sha256=dataset.sha256, quiet=quiet)


def _task_settings(dataset: Dataset) -> dict[str, Any]:
    if dataset.task_settings is None:
        metadata = dataset.train.metadata
        raise InputError(
            f"a data set of {metadata.vocab_size} tokens and length {metadata.seq_len} without a task",
            "a data set made or imported by thinkling, or an official Sudoku one",
            "import it with `thinkling data import`",
        )
    return dataset.task_settings
