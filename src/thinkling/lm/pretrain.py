"""From a recipe and corpora to a trained run."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.data.mixture import MixtureRows
from thinkling.lm.config import TILE
from thinkling.lm.corpora import LMTextStore, corpora, joined_sha256, names_of
from thinkling.lm.model import Decoder
from thinkling.lm.objective import NextTokenObjective
from thinkling.lm.recipe import PretrainRecipe
from thinkling.lm.run_files import PRETRAINING, RunFiles, description, read_run
from thinkling.lm.text_evaluate import evaluate_text, held_out_metrics
from thinkling.lm.text_tasks import continuation_accuracy, problem_accuracy, samples
from thinkling.nn.cpu_memory import keep_freed_memory
from thinkling.nn.precision import pick_device
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

VALIDATION_METRIC = "compression_ratio"
"""Key of the validation that chooses the best weights."""


def fitted(recipe: PretrainRecipe, vocab_size: int) -> PretrainRecipe:
    """The recipe with the vocabulary of a tokenizer, whose size need not be a multiple of the tile."""
    model = dataclasses.replace(
        recipe.model,
        vocab_size=vocab_size,
        tile_aligned=recipe.model.tile_aligned and vocab_size % TILE == 0,
    )
    return dataclasses.replace(recipe, model=model)


def started_from(recipe: PretrainRecipe, files: RunFiles) -> PretrainRecipe:
    """The recipe with the architecture of the run whose weights it begins with.

    Raises:
        InputError: rows that are longer than that model's context.
    """
    return dataclasses.replace(recipe, model=files.model)


def mixture(recipe: PretrainRecipe, stores: Sequence[LMTextStore]) -> MixtureRows:
    """The training rows of a recipe from these corpora.

    Raises:
        InputError: a corpus without text, or not as many weights as corpora.
    """
    tokenizer = stores[0].tokenizer
    return MixtureRows(
        [store.train for store in stores],
        length=recipe.length,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        phases=recipe.phases,
        steps=recipe.train.steps * recipe.train.accumulation,
        seed=recipe.train.seed,
    )


def objective_of(
    recipe: PretrainRecipe,
    stores: Sequence[LMTextStore],
    shard: Shard,
    device: str = "auto",
    *,
    init: RunFiles | None = None,
    quiet: bool = False,
) -> NextTokenObjective:
    """The network with its rows; the recipe must be fitted to the corpora.

    Its weights are drawn from the recipe's seed, or those of `init`.
    """
    keep_freed_memory()
    network = Decoder(recipe.model, torch.Generator().manual_seed(recipe.train.seed))
    if init is not None:
        load_into(network, read_model_weights(init.folder))
    network.to(pick_device(device))
    network.checkpointing = recipe.checkpointing
    tokenizer, names = stores[0].tokenizer, names_of(stores)

    def validate() -> dict[str, float]:
        scores = {
            name: evaluate_text(
                network, store.validation, tokenizer, length=recipe.length, rows=recipe.validation_rows
            )
            for name, store in zip(names, stores, strict=True)
        }
        return held_out_metrics(scores) | _task_metrics(recipe, network, stores)

    def show() -> None:
        texts = samples(
            network,
            tokenizer,
            recipe.sample_prompts,
            tokens=recipe.sample_tokens,
            temperature=recipe.sample_temperature,
        )
        for text in texts:
            print(f"  sample: {' '.join(text.split())}", file=sys.stderr, flush=True)

    return NextTokenObjective(
        network,
        tokenizer,
        mixture(recipe, stores),
        batch_size=recipe.batch_size,
        shard=shard,
        validate=validate,
        validation_metric=VALIDATION_METRIC,
        description=_description(recipe, init),
        z_loss=recipe.z_loss,
        compute_dtype=recipe.train.compute_dtype,
        after_validation=None if quiet else show,
    )


def train_recipe(
    recipe: PretrainRecipe,
    data: Sequence[Path],
    out: Path,
    *,
    init: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TrainResult:
    """Pre-train a language model. Also called by every process under torchrun.

    Args:
        recipe: what to train.
        data: one or several corpora; see `corpora`.
        out: the run folder.
        init: a run to take weights, architecture and tokenizer from.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line and no samples.

    Raises:
        InputError: a corpus, the recipe or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    with process_group() as shard:
        origin = None if init is None else read_run(init)
        stores = corpora(data, out, recipe.model.vocab_size, None if origin is None else origin.tokenizer)
        ready = (
            started_from(recipe, origin)
            if origin is not None
            else fitted(recipe, stores[0].tokenizer.vocab_size)
        )
        if shard.rank == 0 and recipe.model.tile_aligned and not ready.model.tile_aligned:
            print(
                f"a vocabulary of {ready.model.vocab_size} tokens is no multiple of {TILE}: "
                "some matrix products will be below full speed",
                file=sys.stderr,
            )
        objective = objective_of(ready, stores, shard, device, init=origin, quiet=quiet)
        sha256 = joined_sha256(stores)
        return train(objective, ready.train, out, resume=resume, data_sha256=sha256, quiet=quiet)


def _task_metrics(
    recipe: PretrainRecipe, network: Decoder, stores: Sequence[LMTextStore]
) -> dict[str, float]:
    tokenizer = stores[0].tokenizer
    right = [continuation_accuracy(network, store.validation, tokenizer) for store in stores]
    counted = [value for value in right if value is not None]
    metrics = {"continuation_accuracy": sum(counted) / len(counted)} if counted else {}
    if recipe.validation_tasks:
        metrics["problem_accuracy"] = problem_accuracy(network, tokenizer, recipe.validation_tasks)
    return metrics


def _description(recipe: PretrainRecipe, init: RunFiles | None) -> dict[str, Any]:
    settings = {
        "length": recipe.length,
        "batch_size": recipe.batch_size,
        # Lists, as they come back from JSON when a run is resumed.
        "phases": [{"share": phase.share, "weights": list(phase.weights)} for phase in recipe.phases],
        "z_loss": recipe.z_loss,
        "validation_rows": recipe.validation_rows,
    }
    if init is not None:
        settings["init"] = str(init.folder)
    return description(recipe.model, PRETRAINING, settings)
