"""From a recipe and a data set to a trained run."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from thinkling.data.array_store import Dataset, read_dataset
from thinkling.errors import InputError
from thinkling.nn.precision import pick_device
from thinkling.puzzles.examples import Examples, first_of_each, hard_enough, hold_out, some_of
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.plugins import with_plugin
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.recipe import PuzzleRecipe, TRMRecipe
from thinkling.tasks.registry import get_task
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

R = TypeVar("R", bound=PuzzleRecipe)


def fitted(recipe: R, dataset: Dataset) -> R:
    """The recipe with the sizes of a data set filled in."""
    metadata = dataset.train.metadata
    rows, columns = get_task(_task_settings(dataset)).shape
    model = dataclasses.replace(
        recipe.model,
        rows=rows,
        columns=columns,
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
    } | _choices(recipe)


def _choices(recipe: PuzzleRecipe) -> dict[str, Any]:
    """What is chosen beside the papers' training; only that, so that runs from before there was a choice go on."""
    choices: dict[str, Any] = {}
    if recipe.curriculum:
        choices["curriculum"] = recipe.curriculum
    if recipe.train_size:
        choices["train_size"] = recipe.train_size
    if recipe.noise.on:
        choices["noise"] = asdict(recipe.noise)
    if recipe.carries > 1:
        choices["carries"] = recipe.carries
    if recipe.depth.on:
        choices["depth"] = asdict(recipe.depth)
    return choices


def architecture(recipe: PuzzleRecipe) -> str:
    """hrm or trm."""
    return "trm" if isinstance(recipe, TRMRecipe) else "hrm"


def objective_of(
    recipe: PuzzleRecipe, dataset: Dataset, shard: Shard, device: str = "auto", plugin: Path | None = None
) -> PuzzleObjective:
    """The model, drawn from the recipe's seed, with its slots and examples; the recipe must be fitted to the data."""
    task = with_plugin(get_task(_task_settings(dataset), dataset.identifiers), plugin, training=True)
    model = build(architecture(recipe), asdict(recipe.model), seed=recipe.train.seed).to(pick_device(device))
    held_out = recipe.validation_size > 0
    rest, validation = (
        hold_out(dataset.train, recipe.validation_size)
        if held_out
        else (dataset.train, first_of_each(dataset.train))
    )
    return PuzzleObjective(
        model,
        Examples(
            some_of(hard_enough(rest, recipe.min_unknown), recipe.train_size, recipe.train.seed),
            task,
            augment=recipe.augment,
            curriculum=recipe.curriculum,
        ),
        Examples(validation, task, augment=False),
        halting=recipe.halting,
        loss=recipe.loss,
        batch_size=recipe.batch_size,
        noise=recipe.noise,
        carries=recipe.carries,
        depth=recipe.depth,
        seed=recipe.train.seed,
        shard=shard,
        held_out=held_out,
        description=description(recipe, dataset) | {"task": task.settings()},
        identifiers=dataset.identifiers,
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
    plugin: Path | None = None,
) -> TrainResult:
    """Train a recipe on a data set folder. Also called by every process under torchrun.

    Args:
        recipe: what to train; sizes are taken from the data.
        data: the data set folder.
        out: the run folder.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line.
        plugin: a Python file with the symmetries and the checker of a table; it is run.

    Raises:
        InputError: the data, the recipe or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    dataset = read_dataset(data)
    with process_group() as shard:
        objective = objective_of(fitted(recipe, dataset), dataset, shard, device, plugin)
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
