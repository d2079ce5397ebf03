"""`thinkling bench NAME`: measure this machine; run it while nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.eval_puzzles import examples_for
from thinkling.cli.eval_text import scored_rows, with_threshold
from thinkling.errors import InputError
from thinkling.lm.generation_benchmark import bench_generation
from thinkling.lm.rl.benchmark import bench_grpo
from thinkling.lm.training_benchmark import bench_training as lm_training
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
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure a compiled segment too."""
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


@dataclass(frozen=True, kw_only=True)
class LanguageTrainArguments(CommandArguments):
    """A training step of the language model beside a plain loop over Transformers' Qwen3 of the same size."""

    size: Literal["1m", "5m", "15m", "50m"] = "5m"
    """Which preset."""
    batch_size: int = 16
    """Rows."""
    length: int = 256
    """Tokens of a row."""
    steps: int = 8
    """Measured steps of each."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products of both."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class GenerateArguments(CommandArguments):
    """Generation for many sequences at once, beside Transformers' `generate` with the same weights."""

    size: Literal["1m", "5m", "15m", "50m"] = "5m"
    """Which preset."""
    sequences: int = 64
    """Sequences at once."""
    new_tokens: int = 64
    """Tokens that each gets."""
    repeats: int = 3
    """Rounds; the best time of each counts."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of our matrix products."""
    transformers_dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of theirs."""
    kernels: Literal["auto", "on", "off"] = "auto"
    """Whether ours uses kernels that the machine's C++ compiler makes first, as under `generate --compile`; auto: where
    it can."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class GrpoArguments(CommandArguments):
    """A rollout and an update by reinforcement, beside TRL's trainer where it is installed."""

    size: Literal["1m", "5m", "15m"] = "1m"
    """Which preset."""
    prompts: int = 16
    """Prompts of a step."""
    group_size: int = 8
    """Completions of each."""
    new_tokens: int = 64
    """Tokens of a completion."""
    rounds: int = 3
    """Measured steps of each."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of both; auto: what training takes on this machine. TRL's own default is bfloat16."""
    ours_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave TRL's out."""
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write our completions with kernels that this machine's C++ compiler makes first."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True, kw_only=True)
class ServeArguments(CommandArguments):
    """A server with many clients at once, beside the same model and puzzles without a server."""

    run_folder: Annotated[Path, tyro.conf.arg(name="run")] = Path("runs/demo")
    """The run folder of a puzzle model."""
    data: Path = Path("data/demo")
    """A data set folder or a CSV file."""
    limit: int = 1000
    """Puzzles (0: all)."""
    clients: int = 64
    """Clients, each of which sends a request and waits for its answer."""
    per_request: int = 1
    """Puzzles of a request."""
    seconds: float = 60.0
    """How long."""
    slots: int = 64
    """Chains in work at once; in the server for each of its thinking threads."""
    thinkers: int = 0
    """Thinking threads of the server (0: as it chooses itself)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def bench_train(arguments: TrainArguments) -> dict[str, Any]:
    """Measure training."""
    sizes = PUBLISHED_SIZES if arguments.model == "all" else (arguments.model,)
    return bench_training(
        sizes,
        batch_size=arguments.batch_size,
        steps=arguments.steps,
        compile=arguments.compile,
        device=arguments.device,
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


def bench_language_training(arguments: LanguageTrainArguments) -> dict[str, Any]:
    """Measure training of the language model."""
    return lm_training(
        arguments.size,
        batch_size=arguments.batch_size,
        length=arguments.length,
        steps=arguments.steps,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
    )


def bench_language_generation(arguments: GenerateArguments) -> dict[str, Any]:
    """Measure generation."""
    return bench_generation(
        arguments.size,
        sequences=arguments.sequences,
        new_tokens=arguments.new_tokens,
        repeats=arguments.repeats,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
        transformers_dtype=arguments.transformers_dtype,
        kernels=arguments.kernels,
    )


def bench_reinforcement(arguments: GrpoArguments) -> dict[str, Any]:
    """Measure reinforcement learning."""
    return bench_grpo(
        arguments.size,
        prompts=arguments.prompts,
        group_size=arguments.group_size,
        new_tokens=arguments.new_tokens,
        rounds=arguments.rounds,
        compute_dtype=arguments.compute_dtype,
        device=arguments.device,
        compile=arguments.compile,
        ours_only=arguments.ours_only,
    )


def bench_server(arguments: ServeArguments) -> dict[str, Any]:
    """Measure the server."""
    try:
        from thinkling.serving.benchmark import bench_serve
    except ImportError as error:
        raise InputError(
            f"serving without the package {error.name}",
            "an installation with the extra 'serve'",
            "install it: pip install 'thinkling[serve]'",
        ) from None
    model = load(arguments.run_folder, device=arguments.device)
    examples = examples_for(model, arguments.data, "test", arguments.limit)
    return bench_serve(
        model,
        [model.task.format(question.inputs) for question in examples.questions()],
        clients=arguments.clients,
        seconds=arguments.seconds,
        slots=arguments.slots,
        per_request=arguments.per_request,
        thinkers=arguments.thinkers,
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
    "lm-train": Subcommand(
        arguments=LanguageTrainArguments,
        run=bench_language_training,
        summary="training speed of the language model beside a plain loop over Transformers' model",
    ),
    "lm-generate": Subcommand(
        arguments=GenerateArguments,
        run=bench_language_generation,
        summary="64 sequences at once beside Transformers' generate",
    ),
    "lm-grpo": Subcommand(
        arguments=GrpoArguments,
        run=bench_reinforcement,
        summary="steps of reinforcement learning a minute beside TRL's",
    ),
    "serve": Subcommand(
        arguments=ServeArguments,
        run=bench_server,
        summary="puzzles a second by a server with 64 clients, beside the same without a server",
    ),
}
