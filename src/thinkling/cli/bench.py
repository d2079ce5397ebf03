"""`thinkling bench train|adaptive`: measure this machine; run it while nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.eval import examples_for
from thinkling.puzzles.benchmarks import PUBLISHED_SIZES, bench_adaptive, bench_training
from thinkling.puzzles.load import load


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
}
