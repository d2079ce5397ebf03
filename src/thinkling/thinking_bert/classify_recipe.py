"""How a classifier is trained, and from a recipe and labelled texts to a trained run."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.errors import InputError
from thinkling.nn.precision import pick_device
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.classify_data import ClassifyData, read_classify_data
from thinkling.thinking_bert.classify_examples import ClassifyExamples
from thinkling.thinking_bert.classify_objective import ClassifyObjective
from thinkling.thinking_bert.run_files import (
    ARCHITECTURE,
    CLASSIFICATION,
    MASKED_LANGUAGE,
    PRODUCT,
    RunFiles,
    read_run,
)
from thinkling.training.config import TrainConfig
from thinkling.training.distributed import process_group
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult, train

RECIPE_NAME = "thinking-bert-classify"
"""Its name on the command line."""


@dataclass(frozen=True, kw_only=True)
class ClassifyRecipe:
    """How to fine-tune a Thinking-BERT to classify texts; the architecture is that of the model to start from."""

    halting: HaltingConfig = field(
        default_factory=lambda: HaltingConfig(learning="halt_only", max_steps=3, exploration=0.5)
    )
    """Adaptive computation time."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            learning_rate=5e-4,
            warmup_steps=50,
            min_lr_ratio=0.0,
            optimizer="adamw",
            betas=(0.9, 0.98),
            weight_decay=0.01,
            decay_biases=False,
            grad_clip=1.0,
            validate_every=0,
            checkpoint_every=0,
        )
    )
    """Optimiser, schedule, checkpoints; steps and intervals follow from `epochs`."""
    epochs: float = 3.0
    """Times that each text is learned from, were all of its rounds run; more where slots halt earlier.

    Training validates and saves after each. 0: `train.steps` and its intervals count instead.
    """
    batch_size: int = 32
    """Slots over all processes."""
    dropout: float = 0.1
    """Share of the head's features that is set to 0 in training."""
    mask_rate: float = 0.1
    """Share of each training text's tokens that is replaced by <MASK>, so that no single word decides."""
    dev_share: float = 0.1
    """Share of the texts that is cut off to choose the best weights by, where no file of such texts is given."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}", "1 or more", "set batch_size")
        if self.epochs < 0:
            raise InputError(f"epochs {self.epochs}", "0 or more", "set epochs")
        for name in ("dropout", "mask_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} {getattr(self, name)}", "0 up to, but not including, 1", f"set {name}"
                )
        if not 0 < self.dev_share < 1:
            raise InputError(f"dev_share {self.dev_share}", "between 0 and 1, both excluded", "set dev_share")

    def resolved(self, texts: int) -> ClassifyRecipe:
        """The same with the steps that its epochs take on so many training texts."""
        if not self.epochs:
            return self
        rounds = texts * self.halting.max_steps / self.batch_size
        interval = math.ceil(rounds)
        settings = dataclasses.replace(
            self.train,
            steps=max(1, math.ceil(self.epochs * rounds)),
            validate_every=self.train.validate_every or interval,
            checkpoint_every=self.train.checkpoint_every or interval,
        )
        return dataclasses.replace(self, train=settings)


def train_classifier(
    recipe: ClassifyRecipe,
    data: Path,
    out: Path,
    *,
    init: Path | str | None = None,
    from_scratch: bool = False,
    dev: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TrainResult:
    """Fine-tune a classifier on labelled texts. Also called by every process under torchrun.

    Args:
        recipe: how to train.
        data: texts with labels; see `read_classify_data`.
        out: the run folder.
        init: the pre-trained run to take tokenizer, architecture and weights from; where training goes on with a
            run, that run will do.
        from_scratch: draw new weights; only tokenizer and architecture are those of `init`.
        dev: texts to choose the best weights by, where they are in a file of their own.
        resume: whether to go on from the run's last checkpoint.
        device: auto, cpu, cuda or mps.
        quiet: no progress line.

    Raises:
        InputError: the data, the recipe, the pre-trained run or the run folder cannot be used.
        ThinklingError: the run could not be saved, or training could not go on.
    """
    files = _origin(init, out, resume)
    texts = read_classify_data(fetched(data), dev, dev_share=recipe.dev_share, seed=recipe.train.seed)
    recipe = recipe.resolved(len(texts.train))
    with process_group() as shard:
        network = _network(recipe, files, texts, from_scratch=from_scratch)
        objective = _objective(recipe, files, texts, network.to(pick_device(device)), shard, from_scratch)
        if objective.train.cut and not quiet and shard.rank == 0:
            print(
                f"{objective.train.cut} of {len(texts.train)} texts are cut to {files.model.max_length - 2} tokens",
                file=sys.stderr,
            )
        return train(objective, recipe.train, out, resume=resume, data_sha256=texts.sha256, quiet=quiet)


def _origin(init: Path | str | None, out: Path, resume: bool) -> RunFiles:
    """The run that tokenizer and architecture come from."""
    if init is not None:
        return read_run(init, MASKED_LANGUAGE)
    if resume:
        return read_run(out, CLASSIFICATION)
    raise InputError(
        "a classifier without a model to start from",
        "a pre-trained Thinking-BERT run",
        "add --init RUN (with --from-scratch only its tokenizer and architecture are taken)",
    )


def _network(
    recipe: ClassifyRecipe, files: RunFiles, texts: ClassifyData, *, from_scratch: bool
) -> TextClassifier:
    """A classifier with the pre-trained body; heads, and from scratch everything, drawn from the recipe's seed."""
    network = TextClassifier(
        files.model,
        len(texts.label_names),
        dropout=recipe.dropout,
        generator=torch.Generator().manual_seed(recipe.train.seed),
    )
    # A run that training goes on with has the weights of a classifier; its checkpoint is loaded by the trainer.
    if not from_scratch and files.config["task"]["name"] == MASKED_LANGUAGE:
        load_into(network.body, read_model_weights(files.folder))
    return network


def _objective(
    recipe: ClassifyRecipe,
    files: RunFiles,
    texts: ClassifyData,
    network: TextClassifier,
    shard: Shard,
    from_scratch: bool,
) -> ClassifyObjective:
    train_rows, dev_rows = (
        ClassifyExamples(part, files.tokenizer, files.model.max_length) for part in (texts.train, texts.dev)
    )
    return ClassifyObjective(
        network,
        files.tokenizer,
        train_rows,
        dev_rows,
        halting=recipe.halting,
        batch_size=recipe.batch_size,
        mask_rate=recipe.mask_rate,
        seed=recipe.train.seed,
        shard=shard,
        description=_description(recipe, files, texts, from_scratch),
        compute_dtype=recipe.train.compute_dtype,
    )


def _description(
    recipe: ClassifyRecipe, files: RunFiles, texts: ClassifyData, from_scratch: bool
) -> dict[str, Any]:
    """What config.json says of a run, besides training settings and provenance."""
    return {
        "product": PRODUCT,
        "architecture": ARCHITECTURE,
        "model": asdict(files.model),
        "task": {"name": CLASSIFICATION, "labels": list(texts.label_names)},
        "halting": asdict(recipe.halting),
        "objective": {
            "batch_size": recipe.batch_size,
            "dropout": recipe.dropout,
            "mask_rate": recipe.mask_rate,
            "dev_share": recipe.dev_share,
            "from_scratch": from_scratch,
            "train_texts": len(texts.train),
            "dev_texts": len(texts.dev),
        },
    }
