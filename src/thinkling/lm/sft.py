"""From a trained language model and conversations to one that answers.

Shapes: K rows, L positions of a row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import AVERAGED, WEIGHTS
from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.data.whole_folder import file_sha256
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.lm.objective import NextTokenObjective, next_token_loss
from thinkling.lm.run_files import CHAT, RunFiles, description, read_run
from thinkling.lm.sft_data import SftData, SftRows, read_sft_data
from thinkling.lm.sft_recipe import SftRecipe
from thinkling.nn.precision import pick_device
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

VALIDATION_METRIC = "log_probability"
"""What chooses the best weights: the mean logarithm of a learned token's probability, the loss with its sign turned."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that a fine-tuning run begins with, weights excepted."""

    recipe: SftRecipe
    """With its steps."""
    files: RunFiles
    """The run to start from, or to go on with."""
    init_sha256: str
    """Of the file with the first weights."""
    data: SftData
    """The examples."""
    rows: SftRows
    """Rows to train on."""
    scored: SftRows
    """Rows to validate with."""

    def counts(self) -> dict[str, int]:
        """Examples and rows, and what was left out."""
        return {
            "train_examples": len(self.data.train),
            "validation_examples": len(self.data.validation),
            "train_rows": len(self.rows),
            "learned_tokens": int(self.data.train.learned.sum()),
            "too_long": self.data.too_long,
            "overlap": self.data.overlap,
        }

    def warnings(self) -> list[str]:
        """What a user should know of the examples that were left out."""
        data, said = self.data, []
        if data.too_long:
            of = data.too_long + len(data.train) + len(data.validation) + data.overlap
            said.append(
                f"{data.too_long} of {of} examples are left out: longer than {self.rows.length} tokens "
                f"(the first: {data.first_too_long})"
            )
        if data.overlap:
            said.append(
                f"{data.overlap} training examples are left out: their questions are in the validation data"
            )
        return said


def prepared(
    recipe: SftRecipe, init: Path | str | None, data: Path, out: Path | None = None, *, resume: bool = False
) -> Prepared:
    """The examples as rows, and the steps that they make; nothing is written.

    Raises:
        InputError: the recipe, the run to start from or the data cannot be used.
    """
    files, init_sha256 = _origin(init, out, resume)
    length = recipe.row_length(files.model.max_length)
    examples = read_sft_data(
        fetched(data),
        files.tokenizer,
        length=length,
        validation_share=recipe.validation_share,
        seed=recipe.train.seed,
    )
    pad_id = files.tokenizer.pad_id
    rows = SftRows(examples.train, length, pad_id=pad_id, seed=recipe.train.seed)
    scored = examples.validation.select(
        np.arange(min(len(examples.validation), recipe.validation_examples), dtype=np.int64)
    )
    return Prepared(
        recipe=recipe.resolved(len(rows)),
        files=files,
        init_sha256=init_sha256,
        data=examples,
        rows=rows,
        scored=SftRows(scored, length, pad_id=pad_id),
    )


def train_sft(
    recipe: SftRecipe,
    init: Path | str | None,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TrainResult:
    """Fine-tune a language model on conversations. Also called by every process under torchrun.

    Args:
        recipe: how to train.
        init: the run to take tokenizer, architecture and weights from; may be None where training goes on with a run.
        data: conversations; see `read_sft_data`.
        out: the run folder.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line.

    Raises:
        InputError: the data, the recipe, the run to start from or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    ready = prepared(recipe, init, data, out, resume=resume)
    with process_group() as shard:
        if shard.rank == 0:
            for warning in ready.warnings():
                print(f"thinkling: {warning}", file=sys.stderr)
        objective = objective_of(ready, shard, device)
        return train(
            objective, ready.recipe.train, out, resume=resume, data_sha256=ready.data.sha256, quiet=quiet
        )


def objective_of(ready: Prepared, shard: Shard, device: str = "auto") -> NextTokenObjective:
    """The network with the weights to start from, and its rows."""
    recipe, files = ready.recipe, ready.files
    with torch.device("meta"):
        network = Decoder(files.model)
    network.to_empty(device=pick_device(device))
    load_into(network, read_model_weights(files.folder))
    network.checkpointing = recipe.checkpointing
    return NextTokenObjective(
        network,
        files.tokenizer,
        ready.rows,
        batch_size=recipe.batch_size,
        shard=shard,
        validate=lambda: validation(network, ready.scored, recipe.batch_size),
        validation_metric=VALIDATION_METRIC,
        description=description(files.model, CHAT, _settings(ready)),
        z_loss=recipe.z_loss,
        compute_dtype=recipe.train.compute_dtype,
    )


@torch.no_grad()
def validation(network: Decoder, rows: SftRows, batch_size: int) -> dict[str, float]:
    """How well a network knows the learned tokens of rows.

    Returns:
        "loss": mean cross-entropy in nats a token; "log_probability": the same with its sign turned;
        "token_accuracy": share of tokens that are the network's first choice.
    """
    total = right = count = 0.0
    for start in range(0, len(rows), batch_size):
        batch = rows.numbered(np.arange(start, min(start + batch_size, len(rows)), dtype=np.int64))
        metrics = next_token_loss(network, network, batch).metrics
        (loss, tokens), (hits, _) = metrics["lm_loss"], metrics["token_accuracy"]
        total, right, count = total + float(loss), right + float(hits), count + float(tokens)
    return {"loss": total / count, VALIDATION_METRIC: -total / count, "token_accuracy": right / count}


def _origin(init: Path | str | None, out: Path | None, resume: bool) -> tuple[RunFiles, str]:
    """The run that tokenizer, architecture and weights come from, and the hash of these weights."""
    if init is not None:
        files = read_run(init)
        return files, file_sha256(_weights_file(files.folder))
    if resume and out is not None:
        files = read_run(out, CHAT)
        return files, str(files.config["objective"]["init_sha256"])
    raise InputError(
        "fine-tuning without a model to start from", "a run of a language model", "add --init RUN"
    )


def _weights_file(folder: Path) -> Path:
    """The file that `read_model_weights` reads."""
    return folder / (AVERAGED if (folder / AVERAGED).exists() else WEIGHTS)


def _settings(ready: Prepared) -> dict[str, Any]:
    """What config.json says of how and from what a run has learned."""
    recipe = ready.recipe
    return {
        "init_sha256": ready.init_sha256,
        "length": ready.rows.length,
        "batch_size": recipe.batch_size,
        "validation_share": recipe.validation_share,
        "z_loss": recipe.z_loss,
        **ready.counts(),
        "validation_examples": len(ready.scored.examples),
    }
