"""From a recipe and a corpus to a trained run."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.data.corpus import documents
from thinkling.data.offline_corpus import documentation_file
from thinkling.data.text_store import TextStore, is_text_store, read_text_store, write_text_store
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.nn.precision import pick_device
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.modernbert_weights import initialise_low_level, read_modernbert
from thinkling.thinking_bert.objective import MaskedLanguageObjective
from thinkling.thinking_bert.recipe import ThinkingBertRecipe
from thinkling.thinking_bert.rows import for_scoring
from thinkling.thinking_bert.run_files import (
    ARCHITECTURE,
    MASKED_LANGUAGE,
    PRODUCT,
    RunFiles,
    read_run,
)
from thinkling.training.distributed import on_rank_0, process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

TOKENISED = "text"
"""Folder inside a run that holds the corpus, where it was given as plain text."""


def fitted(recipe: ThinkingBertRecipe, store: TextStore) -> ThinkingBertRecipe:
    """The recipe with the vocabulary of a tokenised corpus."""
    model = dataclasses.replace(recipe.model, vocab_size=store.tokenizer.vocab_size)
    return dataclasses.replace(recipe, model=model)


def description(recipe: ThinkingBertRecipe) -> dict[str, Any]:
    """What config.json says of a run, besides training settings and provenance."""
    return {
        "product": PRODUCT,
        "architecture": ARCHITECTURE,
        "model": asdict(recipe.model),
        "task": {"name": MASKED_LANGUAGE},
        "halting": asdict(recipe.halting),
        "objective": {
            "stages": [asdict(stage) for stage in recipe.stages],
            "masking": asdict(recipe.masking),
            "scored_mask_rate": recipe.scored_mask_rate,
            "halt_target": recipe.halt_target,
            "validation_rows": recipe.validation_rows,
        },
    }


def objective_of(
    recipe: ThinkingBertRecipe,
    store: TextStore,
    shard: Shard,
    device: str = "auto",
    modernbert: Path | None = None,
    init: RunFiles | None = None,
) -> MaskedLanguageObjective:
    """The network with its slots and rows; the recipe must be fitted to the corpus.

    Its weights are drawn from the recipe's seed, or those of `init`, or as far as there are any those of a ModernBERT
    checkpoint.
    """
    generator = torch.Generator().manual_seed(recipe.train.seed)
    network = ThinkingBert(recipe.model, generator)
    origin: dict[str, Any] = {}
    if init is not None:
        load_into(network, read_model_weights(init.folder))
        origin = {"init": str(init.folder)}
    if modernbert is not None:
        # Our tokens are not the checkpoint's, even where there are as many of them.
        start = initialise_low_level(network, *read_modernbert(modernbert), embeddings=False)
        origin = {"modernbert": str(modernbert), "modernbert_layers": start.layers}
    network.to(pick_device(device))
    return MaskedLanguageObjective(
        network,
        store,
        stages=recipe.stages,
        masking=recipe.masking,
        scored_masking=for_scoring(recipe.scored_mask_rate),
        halting=recipe.halting,
        halt_target=recipe.halt_target,
        validation_rows=recipe.validation_rows,
        steps=recipe.train.steps,
        seed=recipe.train.seed,
        shard=shard,
        description=description(recipe) | origin,
        compute_dtype=recipe.train.compute_dtype,
    )


def train_recipe(
    recipe: ThinkingBertRecipe,
    data: Path | None,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
    modernbert: Path | None = None,
    init: Path | None = None,
) -> TrainResult:
    """Train a recipe on a corpus. Also called by every process under torchrun.

    Args:
        recipe: what to train.
        data: a tokenised corpus (`thinkling data import text`), a text file or a folder of them, which is tokenised
            into the run folder first, or None: the documentation strings of the installed Python packages.
        out: the run folder.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line.
        modernbert: a ModernBERT checkpoint in Transformers format to take low-level layers from.
        init: a pre-trained run to take weights, architecture and tokenizer from.

    Raises:
        InputError: the corpus, the recipe, the run folder or what to start from cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    if init is not None and modernbert is not None:
        raise InputError("init and modernbert", "one of them", "leave one out: each says what to start from")
    with process_group() as shard:
        origin = None if init is None else read_run(init, MASKED_LANGUAGE)
        if origin is not None:
            recipe = dataclasses.replace(recipe, model=origin.model)
        store = tokenised(data, out, recipe.model.vocab_size, None if origin is None else origin.tokenizer)
        objective = objective_of(fitted(recipe, store), store, shard, device, modernbert, origin)
        return train(objective, recipe.train, out, resume=resume, data_sha256=store.sha256, quiet=quiet)


def tokenised(
    data: Path | None, out: Path, vocab_size: int, tokenizer: TextTokenizer | None = None
) -> TextStore:
    """The corpus as tokens: as it is, or made in the run folder from plain text.

    Args:
        data: as for `train_recipe`.
        out: the run folder.
        vocab_size: of a vocabulary that plain text gets of its own.
        tokenizer: the vocabulary to use, where there is one.

    Raises:
        InputError: the corpus cannot be read, or was tokenised from another text or with another vocabulary.
    """
    if data is not None and is_text_store(data):
        return _cut_by(tokenizer, read_text_store(data))
    folder = out / TOKENISED
    asked = {"source": "python-docs" if data is None else str(data.resolve()), "asked_vocab_size": vocab_size}
    if not is_text_store(folder):

        def write() -> None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with documentation_file() if data is None else nullcontext(data) as source:
                write_text_store(
                    lambda: documents(source), folder, vocab_size=vocab_size, tokenizer=tokenizer, info=asked
                )

        on_rank_0(write, str(folder), torch.device("cpu"))
    store = read_text_store(folder)
    found = {name: store.info.get(name) for name in asked}
    if found != asked:
        raise InputError(
            f"{asked['source']} with a vocabulary of {vocab_size}",
            f"{found['source']} with one of {found['asked_vocab_size']}, which {folder} was made from",
            f"use another --out, or remove {folder}",
        )
    return _cut_by(tokenizer, store)


def _cut_by(tokenizer: TextTokenizer | None, store: TextStore) -> TextStore:
    if tokenizer is not None and store.tokenizer.to_json() != tokenizer.to_json():
        raise InputError(
            f"{store.folder}, tokenised with another vocabulary than that of --init",
            "the tokenizer of the run to start from",
            "give the text itself, or import it again with --tokenizer",
        )
    return store
