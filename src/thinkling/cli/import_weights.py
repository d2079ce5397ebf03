"""`thinkling import hrm|trm CHECKPOINT --out RUN`: official checkpoints become run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.puzzles.official_checkpoint import import_checkpoint


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Turn an official HRM or TRM checkpoint into a run folder; every tensor must match."""

    kind: Annotated[Literal["hrm", "trm"], tyro.conf.Positional]
    """The architecture."""
    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """The official folder (all_config.yaml beside step_N), or the step_N file."""
    out: Path
    """The run folder to write."""
    data: Path | None = None
    """A data set folder that tells the task; not needed for 9x9 Sudoku."""


def run(arguments: Arguments) -> dict[str, Any]:
    """Import, and return the contract's keys."""
    return import_checkpoint(arguments.kind, arguments.checkpoint, arguments.out, arguments.data)
