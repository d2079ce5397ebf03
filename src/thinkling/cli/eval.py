"""`thinkling eval RUN --data DIR_OR_CSV`: score a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.data.array_store import read_split
from thinkling.errors import InputError
from thinkling.puzzles.datasets import read_puzzle_csv
from thinkling.puzzles.evaluate import DEFAULT_SLOTS, evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Score a run on the test puzzles of a data set, or on a CSV file with questions and answers."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    data: Path
    """A data set folder, or a CSV file with the columns source, question, answer, rating."""
    split: Literal["test", "train"] = "test"
    """Which puzzles of a data set folder."""
    limit: int = 0
    """Score only the first so many puzzles (0: all)."""
    steps: int = 0
    """Limit of segments (0: the trained one)."""
    halt: Literal["q", "valid", "never"] = "q"
    """What stops a puzzle: the model's Q value, a valid answer, or only the limit."""
    threshold: float | None = None
    """For --halt q: least probability of being right; the model's own setting where not given."""
    confirmations: int | None = None
    """For --halt q: further segments in a row that must agree; the model's own setting where not given."""
    slots: int = DEFAULT_SLOTS
    """Puzzles in work at once."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> dict[str, Any]:
    """Score and return the contract's keys."""
    for name in ("limit", "steps"):
        if getattr(arguments, name) < 0:
            raise InputError(f"--{name} {getattr(arguments, name)}", "0 or more", f"give another --{name}")
    if arguments.slots < 1:
        raise InputError(f"--slots {arguments.slots}", "1 or more", "give another --slots")
    model = load(arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype)
    examples = examples_for(model, arguments.data, arguments.split, arguments.limit)
    halting = model.halting_with(threshold=arguments.threshold, confirmations=arguments.confirmations)
    score = evaluate(
        model.network,
        examples,
        halt_rule(arguments.halt, halting, model.task),
        max_steps=arguments.steps or halting.max_steps,
        slots=arguments.slots,
    )
    return asdict(score) | {
        "halt": arguments.halt,
        "max_steps": arguments.steps or halting.max_steps,
        "params": model.params,
    }


def examples_for(model: PuzzleModel, data: Path, split: str, limit: int = 0) -> Examples:
    """The examples of a data set folder or CSV file, checked to fit the model.

    Raises:
        InputError: the path does not exist, or its puzzles are of another kind than the model's.
    """
    puzzles = read_split(data, split) if data.is_dir() else read_puzzle_csv(data, model.task)
    metadata, task = puzzles.metadata, model.task
    if (metadata.seq_len, metadata.vocab_size) != (task.seq_len, task.vocab_size):
        raise InputError(
            f"{data}: puzzles of {metadata.seq_len} cells and {metadata.vocab_size} tokens",
            f"{task.seq_len} cells and {task.vocab_size} tokens, what {task.name} of this model has",
            "use data of the model's own kind",
        )
    examples = Examples(puzzles, task, augment=False)
    return examples.first(limit) if limit else examples
