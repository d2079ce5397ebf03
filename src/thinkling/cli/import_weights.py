"""`thinkling import hrm|trm CHECKPOINT --out RUN`: official checkpoints become run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.puzzles.official_checkpoint import import_checkpoint


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Turn an official HRM or TRM checkpoint into a run folder; every tensor must match."""

    kind: Annotated[Literal["hrm", "trm"], tyro.conf.Positional]
    """The architecture."""
    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """The official folder (all_config.yaml beside step_N), or the step_N file; hf://OWNER/NAME/FOLDER fetches it."""
    out: Path
    """The run folder to write."""
    data: Path | None = None
    """A data set folder that tells the task and its puzzles; not needed for 9x9 Sudoku and the published mazes."""
    reset_puzzle_embedding: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Where the data has other puzzles than the checkpoint: give each the mean of the checkpoint's embeddings."""


def run(arguments: Arguments) -> dict[str, Any]:
    """Import, and return the contract's keys."""
    return import_checkpoint(
        arguments.kind,
        fetched(arguments.checkpoint),
        arguments.out,
        None if arguments.data is None else fetched(arguments.data),
        reset_puzzle_embedding=arguments.reset_puzzle_embedding,
    )
