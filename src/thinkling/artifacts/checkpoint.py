"""Checkpoints that a kill at any moment, or a full disk, cannot spoil.

A checkpoint is a folder, sealed by its manifest. A save builds `last.new`, seals it, and then only renames:
previous -> last.old, last -> previous, last.new -> last; `last.old` is deleted at the very end. Whatever the
moment of a kill, the newest sealed one of last.new, last, previous is whole. The next save first finishes or
clears what a kill has left.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from thinkling.artifacts.run_folder import (
    AVERAGED,
    CONFIG,
    MANIFEST,
    WEIGHTS,
    cannot_write,
    newest_complete,
    read_config,
    read_json,
    sync_folder,
    verify,
    write_json,
    write_manifest,
)
from thinkling.artifacts.weights import load_weights, save_weights, write_model_folder

OPTIMIZER = "optimizer.safetensors"
OPTIMIZER_SHARDS = "optimizer_shards"
SLOTS = "slots.safetensors"
STATE = "train_state.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The contents of a checkpoint folder."""

    config: dict[str, Any]
    """config.json of the run."""
    weights: Mapping[str, Tensor]
    """The model's parameters and buffers."""
    averaged: Mapping[str, Tensor] | None = None
    """The same with averaged parameters, when the run averages."""
    optimizer: Mapping[str, Tensor] | None = None
    """State of the optimiser; None where training cannot go on from here (the best checkpoint)."""
    optimizer_shards: Path | None = None
    """Folder with the part of that state which is divided over processes (`artifacts.shards`). Saving a checkpoint
    moves it there; None: there is no such part."""
    slots: Mapping[str, Tensor] | None = None
    """State of the slots of all ranks, in rank order; None as above."""
    state: Mapping[str, Any]
    """Numbers of the loop: step, seconds, best metric and so on (JSON)."""


def save_checkpoint(checkpoints: Path, name: str, contents: Checkpoint, *, keep: str | None = None) -> Path:
    """Save a checkpoint as `checkpoints/name`, keeping the one it replaces as `checkpoints/keep`.

    Raises:
        ThinklingError: the disk is full or not writable; the checkpoints that were there are untouched.
    """
    new = checkpoints / f"{name}.new"
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
        _finish_interrupted(checkpoints, name, keep)
        new.mkdir()
        _write(new, contents)
        _rotate(checkpoints, name, keep)
    except OSError as error:
        if not (new / MANIFEST).exists():  # a sealed one is whole; only its rename failed
            shutil.rmtree(new, ignore_errors=True)
        raise cannot_write(f"{checkpoints / name} (earlier checkpoints are whole)", error) from error
    return checkpoints / name


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint after verifying every file of it.

    Raises:
        InputError: naming the damaged file, and a checkpoint that is whole.
    """
    verify(folder)

    def tensors(name: str) -> dict[str, Tensor] | None:
        return load_weights(folder / name) if (folder / name).exists() else None

    return Checkpoint(
        config=read_config(folder),
        weights=load_weights(folder / WEIGHTS),
        averaged=tensors(AVERAGED),
        optimizer=tensors(OPTIMIZER),
        optimizer_shards=folder / OPTIMIZER_SHARDS if (folder / OPTIMIZER_SHARDS).is_dir() else None,
        slots=tensors(SLOTS),
        state=read_json(folder / STATE),
    )


def resumable(run: Path) -> Path | None:
    """The checkpoint that training would go on from: the newest finished one, or None."""
    return newest_complete(run / "checkpoints", "last")


def publish(checkpoint: Path, run: Path) -> None:
    """Make the run folder itself loadable with the weights of one of its checkpoints.

    Raises:
        ThinklingError: the disk is full or not writable.
        InputError: the checkpoint is damaged.
    """
    contents = load_checkpoint(checkpoint)
    try:
        write_model_folder(run, contents.config, contents.weights, contents.averaged)
    except OSError as error:
        raise cannot_write(
            f"the weights to {run} ({checkpoint} is whole and loads by itself)", error
        ) from error


def _write(folder: Path, contents: Checkpoint) -> None:
    write_json(folder / CONFIG, contents.config)
    files = {WEIGHTS: contents.weights, AVERAGED: contents.averaged}
    files |= {OPTIMIZER: contents.optimizer, SLOTS: contents.slots}
    present = {name: tensors for name, tensors in files.items() if tensors is not None}
    for name, tensors in present.items():
        save_weights(folder / name, tensors)
    write_json(folder / STATE, dict(contents.state))
    shards: list[str] = []
    if contents.optimizer_shards is not None:
        contents.optimizer_shards.rename(folder / OPTIMIZER_SHARDS)
        shards = sorted(f"{OPTIMIZER_SHARDS}/{file.name}" for file in (folder / OPTIMIZER_SHARDS).iterdir())
    write_manifest(folder, [*present, *shards, STATE])


def _finish_interrupted(checkpoints: Path, name: str, keep: str | None) -> None:
    new = checkpoints / f"{name}.new"
    if (new / MANIFEST).exists():
        _rotate(checkpoints, name, keep)
    elif new.exists():
        shutil.rmtree(new)


def _rotate(checkpoints: Path, name: str, keep: str | None) -> None:
    target, old = checkpoints / name, checkpoints / f"{name}.old"
    if old.exists():
        shutil.rmtree(old)
    if target.exists():
        if keep is None or not (target / MANIFEST).exists():
            target.rename(old)
        else:
            if (checkpoints / keep).exists():
                (checkpoints / keep).rename(old)
            target.rename(checkpoints / keep)
    (checkpoints / f"{name}.new").rename(target)
    sync_folder(checkpoints)
    shutil.rmtree(old, ignore_errors=True)
