"""`thinkling import hrm|trm|hf CHECKPOINT --out RUN`: checkpoints of other programs become run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.errors import InputError
from thinkling.lm.hf_weights import import_hf
from thinkling.lm.model import Decoder
from thinkling.puzzles.official_checkpoint import import_checkpoint


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Turn an official HRM or TRM checkpoint, or a Transformers folder with our tokenizer, into a run folder; every
    tensor must match."""

    kind: Annotated[Literal["hrm", "trm", "hf"], tyro.conf.Positional]
    """The architecture."""
    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """The official folder (all_config.yaml beside step_N), or the step_N file; for hf a folder in Qwen3's layout.
    hf://OWNER/NAME/FOLDER fetches it."""
    out: Path
    """The run folder to write."""
    data: Path | None = None
    """A data set folder that tells the task and its puzzles; not needed for 9x9 Sudoku and the published mazes."""
    reset_puzzle_embedding: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Where the data has other puzzles than the checkpoint: give each the mean of the checkpoint's embeddings."""
    stage: Literal["chat", "pretraining"] = "chat"
    """For hf: how far the model was trained, which decides how it is prompted."""


def run(arguments: Arguments) -> dict[str, Any]:
    """Import, and return the contract's keys."""
    if arguments.kind == "hf":
        return _from_transformers(arguments)
    return import_checkpoint(
        arguments.kind,
        fetched(arguments.checkpoint),
        arguments.out,
        None if arguments.data is None else fetched(arguments.data),
        reset_puzzle_embedding=arguments.reset_puzzle_embedding,
    )


def _from_transformers(arguments: Arguments) -> dict[str, Any]:
    if arguments.data is not None or arguments.reset_puzzle_embedding:
        raise InputError(
            "--data or --reset-puzzle-embedding for a language model", "neither of them", "leave them out"
        )
    config = import_hf(arguments.checkpoint, arguments.out, arguments.stage)
    with torch.device("meta"):
        params = Decoder(config).params
    return {"run": str(arguments.out), "params": params, "unmatched": []}
