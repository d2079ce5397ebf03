"""`thinkling bench NAME`: measure this machine; run it while nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.eval import examples_for
from thinkling.cli.eval_text import scored_rows, with_threshold
from thinkling.puzzles.benchmarks import PUBLISHED_SIZES, bench_adaptive, bench_training
from thinkling.puzzles.load import load
from thinkling.thinking_bert import benchmarks as text_benchmarks
from thinkling.thinking_bert.encoder_model import EncoderModel


@dataclass(frozen=True, kw_only=True)
class TrainArguments(CommandArguments):
    """Training speed of the published sizes, and its share of this machine's matrix product rate."""

    model: Literal["all", "hrm", "trm-mlp", "trm-attention"] = "all"
    """Which published size."""
    batch_size: int = 16
    """Slots."""
    steps: int = 8
    """Measured steps."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class AdaptiveArguments(CommandArguments):
    """Fixed steps against adaptive halting: time, steps and accuracy on the same puzzles."""

    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/demo")
    """The run folder."""
    data: Path = Path("data/demo")
    """A data set folder or a CSV file."""
    limit: int = 1000
    """Puzzles (0: all)."""
    slots: int = 64
    """Puzzles in work at once."""
    repeats: int = 3
    """Rounds; the best time of each rule counts."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class TextTrainArguments(CommandArguments):
    """Training speed of a Thinking-BERT recipe, and its share of this machine's matrix product rate."""

    recipe: Literal["thinking-bert", "thinking-bert-quick"] = "thinking-bert"
    """Which recipe."""
    batch_size: int = 64
    """Rows."""
    length: int = 128
    """Tokens of a row."""
    steps: int = 8
    """Measured steps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class FillArguments(CommandArguments):
    """Filling one mask in each of many texts."""

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    """The run folder of a Thinking-BERT."""
    sentences: int = 1000
    """Texts."""
    tokens: int = 62
    """Ordinary tokens of each text; two more mark its begin and end."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class TextHaltingArguments(CommandArguments):
    """All rounds of a Thinking-BERT against halting: time, rounds and accuracy on the same rows."""

    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    """The run folder of a Thinking-BERT."""
    data: Path
    """The tokenised corpus; its test documents are used."""
    limit: int = 1000
    """Rows."""
    threshold: float | None = None
    """Halting threshold; the model's own where not given."""
    slots: int = 64
    """Rows in work at once."""
    repeats: int = 3
    """Rounds; the best time of each rule counts."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def bench_train(arguments: TrainArguments) -> dict[str, Any]:
    """Measure training."""
    sizes = PUBLISHED_SIZES if arguments.model == "all" else (arguments.model,)
    return bench_training(
        sizes, batch_size=arguments.batch_size, steps=arguments.steps, device=arguments.device
    )


def bench_halting(arguments: AdaptiveArguments) -> dict[str, Any]:
    """Measure halting."""
    model = load(arguments.run_folder, device=arguments.device)
    examples = examples_for(model, arguments.data, "test", arguments.limit)
    return bench_adaptive(model, examples, slots=arguments.slots, repeats=arguments.repeats)


def bench_text_train(arguments: TextTrainArguments) -> dict[str, Any]:
    """Measure pre-training."""
    return text_benchmarks.bench_training(
        arguments.recipe,
        batch_size=arguments.batch_size,
        length=arguments.length,
        steps=arguments.steps,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
    )


def bench_fill(arguments: FillArguments) -> dict[str, Any]:
    """Measure filling masks."""
    model = EncoderModel.from_folder(arguments.run_folder, device=arguments.device)
    return text_benchmarks.bench_fill(model, sentences=arguments.sentences, tokens=arguments.tokens)


def bench_text_halting(arguments: TextHaltingArguments) -> dict[str, Any]:
    """Measure halting of a Thinking-BERT."""
    model = EncoderModel.from_folder(arguments.run_folder, device=arguments.device)
    _, rows, _ = scored_rows(model, arguments.data, "test", limit=arguments.limit)
    halting = with_threshold(model.halting, arguments.threshold)
    return text_benchmarks.bench_halting(
        model, rows, halting, slots=arguments.slots, repeats=arguments.repeats
    )


SUBCOMMANDS = {
    "train": Subcommand(
        arguments=TrainArguments,
        run=bench_train,
        summary="training speed of the published sizes on this machine",
    ),
    "adaptive": Subcommand(
        arguments=AdaptiveArguments,
        run=bench_halting,
        summary="what adaptive halting saves on a trained model",
    ),
    "text-train": Subcommand(
        arguments=TextTrainArguments,
        run=bench_text_train,
        summary="pre-training speed of Thinking-BERT on this machine",
    ),
    "text-adaptive": Subcommand(
        arguments=TextHaltingArguments,
        run=bench_text_halting,
        summary="what adaptive halting saves on a trained Thinking-BERT",
    ),
    "fill": Subcommand(
        arguments=FillArguments,
        run=bench_fill,
        summary="masks filled a second by a trained Thinking-BERT",
    ),
}
