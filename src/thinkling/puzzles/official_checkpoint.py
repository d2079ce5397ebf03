"""A published HRM or TRM checkpoint folder: `all_config.yaml` beside `step_N`, a `torch.save`d state dict.

The file is read with `weights_only=True`, so it cannot run code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor

from thinkling.artifacts.provenance import provenance
from thinkling.artifacts.weights import write_model_folder
from thinkling.data.array_store import read_dataset
from thinkling.data.puzzle_set import official_task
from thinkling.errors import InputError
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.identifiers import IDENTIFIERS, read_identifiers, write_identifiers
from thinkling.puzzles.official_weights import from_official, ours_of
from thinkling.puzzles.puzzle_model import count_params
from thinkling.thinking.halting import HaltingConfig

CONFIG = "all_config.yaml"
_STEP = re.compile(r"^step_(\d+)$")
_MAZE_SIZE = re.compile(r"maze-?(\d+)x(\d+)", re.I)
_EMBEDDING = "puzzle_emb.weights"
_BLANK_NAME = "<blank>"


@dataclass(frozen=True, kw_only=True)
class _Target:
    """What the official data loader adds to the settings, and the task."""

    task: dict[str, Any]
    """What `tasks.registry.get_task` needs."""
    seq_len: int
    """L."""
    identifiers: list[str] | None = None
    """The name of each puzzle id; None where nothing names them."""


def import_checkpoint(
    kind: Literal["hrm", "trm"],
    checkpoint: Path,
    out: Path,
    data: Path | None,
    *,
    reset_puzzle_embedding: bool = False,
) -> dict[str, Any]:
    """Write a run folder from an official checkpoint.

    Args:
        kind: which architecture is expected.
        checkpoint: the folder, or the `step_N` file in it; of several files the latest is taken.
        out: the run folder to write.
        data: a data set folder that tells task, length and the names of the puzzles. Not needed for 9x9 Sudoku,
            for mazes whose size the checkpoint's settings name, and where `identifiers.json` lies beside an ARC
            checkpoint.
        reset_puzzle_embedding: for data whose puzzles are other ones: gives every puzzle the mean of the
            checkpoint's puzzle embeddings.

    Returns:
        The contract's keys: `run`, `params`, `unmatched` (always empty: what does not match is an error); and
        `puzzle_embedding_reset`.

    Raises:
        InputError: files missing or damaged, weights that do not fit the settings, or puzzle embeddings of other
            puzzles than the data's.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}, which exists", "a new or empty folder", "choose another --out")
    weights_file = _weights_file(checkpoint)
    settings, data_name = _settings(weights_file.parent / CONFIG)
    weights = {ours_of(name): tensor for name, tensor in _state_dict(weights_file).items()}
    if "embed_tokens.weight" not in weights:
        raise InputError(
            "a checkpoint without embed_tokens", "an HRM or TRM checkpoint", "use a puzzle checkpoint"
        )
    vocab_size = len(weights["embed_tokens.weight"])
    beside = weights_file.parent / IDENTIFIERS
    own_names = read_identifiers(beside.parent) if beside.is_file() else None
    if data is None:
        target = _told_by_checkpoint(vocab_size, data_name, own_names)
    else:
        target = _told_by_data(vocab_size, data)
    reset = _fit_embedding(weights, target, own_names, reset_puzzle_embedding)
    embedding = weights.get(_EMBEDDING)
    ids = len(target.identifiers or [""]) if embedding is None else len(embedding)
    sizes = {"vocab_size": vocab_size, "seq_len": target.seq_len, "num_puzzle_identifiers": ids}
    network = from_official({**settings, **sizes}, weights)
    found = "hrm" if isinstance(network, HRM) else "trm"
    if found != kind:
        raise InputError(f"a checkpoint of {found.upper()}", kind.upper(), f"use `thinkling import {found}`")
    halting = HaltingConfig(
        learning="q_learning" if found == "hrm" else "halt_only",
        max_steps=settings.get("halt_max_steps", 16),
        exploration=settings.get("halt_exploration_prob", 0.1),
    )
    config = {
        "product": "puzzles",
        "architecture": found,
        "model": asdict(network.config),
        "task": target.task,
        "halting": asdict(halting),
        "provenance": provenance() | {"imported_from": weights_file.name, "puzzle_embedding_reset": reset},
    }
    write_model_folder(out, config, network.state_dict())
    write_identifiers(out, target.identifiers or ())
    return {
        "run": str(out),
        "params": count_params(network),
        "unmatched": [],
        "puzzle_embedding_reset": reset,
    }


def _weights_file(checkpoint: Path) -> Path:
    if checkpoint.is_file():
        return checkpoint
    steps = [path for path in checkpoint.glob("step_*") if _STEP.match(path.name)]
    if not steps:
        raise InputError(
            f"{checkpoint} without a file step_N",
            f"an official checkpoint folder with {CONFIG} and step_N",
            "check the path",
        )
    return max(steps, key=lambda path: int(path.name.removeprefix("step_")))


def _settings(path: Path) -> tuple[Mapping[str, Any], str]:
    """The `arch` settings, and the names of the data sets the model was trained on."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", f"{CONFIG} beside the checkpoint", "copy it there"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no YAML ({error})", "the file the official code writes", "copy it again"
        ) from None
    arch = settings.get("arch", settings) if isinstance(settings, dict) else None
    if not isinstance(arch, dict):
        raise InputError(
            f"{path} without an `arch` section", "the file the official code writes", "copy it again"
        )
    return arch, f"{settings.get('data_path', '')} {settings.get('data_paths', '')}"


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} cannot be read ({reason})", "a torch.save state dict", "download it again"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(
            f"{path} holds no state dict", "a torch.save state dict of tensors", "use a step_N file"
        )
    return state


def _told_by_data(vocab_size: int, data: Path) -> _Target:
    dataset = read_dataset(data)
    if dataset.task_settings is None or dataset.train.metadata.vocab_size != vocab_size:
        what = f"of {dataset.train.metadata.vocab_size} tokens"
        if dataset.task_settings is not None:
            what = f"of task {dataset.task_settings['name']} with {dataset.train.metadata.vocab_size} tokens"
        raise InputError(
            f"a checkpoint of {vocab_size} tokens with the data set {data} {what}",
            "a data set of the checkpoint's own task",
            "pass --data DIR with the data it was trained on",
        )
    return _Target(
        task=dict(dataset.task_settings),
        seq_len=dataset.train.metadata.seq_len,
        identifiers=dataset.identifiers[: dataset.train.metadata.num_puzzle_identifiers] or [_BLANK_NAME],
    )


def _told_by_checkpoint(vocab_size: int, data_name: str, names: Sequence[str] | None) -> _Target:
    """Without a data set: 11 tokens are 9x9 Sudoku, 6 a maze, 12 ARC, whose canvas is always 30x30 there."""
    maze = _MAZE_SIZE.search(data_name)
    seq_len = {11: 81, 12: 900}.get(vocab_size, 0)
    if vocab_size == 6 and maze is not None:
        seq_len = int(maze[1]) * int(maze[2])
    task = official_task(vocab_size, seq_len) if seq_len else None
    if task is None or (task["name"] == "arc" and names is None):
        what = " of ARC without the names of its puzzles" if task else f" of {vocab_size} tokens"
        raise InputError(
            f"a checkpoint{what}",
            "a data set that tells the task, or identifiers.json beside an ARC checkpoint",
            "pass --data DIR with the data it was trained on",
        )
    return _Target(task=task, seq_len=seq_len, identifiers=None if names is None else list(names))


def _fit_embedding(
    weights: dict[str, Tensor], target: _Target, own_names: Sequence[str] | None, reset: bool
) -> bool:
    """Replaces the puzzle embeddings by their mean where asked; InputError where they belong to other puzzles.

    Returns:
        Whether they were replaced.
    """
    rows = weights.get(_EMBEDDING)
    names = target.identifiers
    if reset and names is None:
        raise InputError(
            "--reset-puzzle-embedding without a data set", "with --data DIR", "say for which puzzles"
        )
    if rows is None or names is None:
        return False
    if reset:
        # Source: TRM's `load_checkpoint`, which does so whenever the shapes differ.
        weights[_EMBEDDING] = rows.mean(0, keepdim=True).expand(len(names), -1).contiguous()
        return True
    fault = None
    if len(rows) != len(names):
        fault = f"a checkpoint with {len(rows)} puzzle embeddings for data with {len(names)} puzzles"
    elif own_names is not None and list(own_names) != names:
        place = next(place for place in range(len(names)) if names[place] != own_names[place])
        fault = (
            f"a checkpoint whose puzzle embedding {place} is of {own_names[place]!r}, "
            f"where the data has {names[place]!r}"
        )
    if fault is not None:
        raise InputError(
            fault,
            "the data set it was trained on, or other puzzles with --reset-puzzle-embedding",
            "pass --data DIR with that data set, or --reset-puzzle-embedding to give every puzzle their mean",
        )
    return False
