"""A published HRM or TRM checkpoint folder: `all_config.yaml` beside `step_N`, a `torch.save`d state dict.

The file is read with `weights_only=True`, so it cannot run code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor

from thinkling.artifacts.provenance import provenance
from thinkling.artifacts.weights import write_model_folder
from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.official_weights import from_official, ours_of
from thinkling.puzzles.puzzle_model import count_params
from thinkling.tasks.registry import get_task
from thinkling.thinking.halting import HaltingConfig

CONFIG = "all_config.yaml"
_STEP = re.compile(r"^step_(\d+)$")


def import_checkpoint(
    kind: Literal["hrm", "trm"], checkpoint: Path, out: Path, data: Path | None
) -> dict[str, Any]:
    """Write a run folder from an official checkpoint.

    Args:
        kind: which architecture is expected.
        checkpoint: the folder, or the `step_N` file in it; of several files the latest is taken.
        out: the run folder to write.
        data: a data set folder that tells task and length; not needed for 9x9 Sudoku.

    Returns:
        The contract's keys: `run`, `params`, `unmatched` (always empty: what does not match is an error).

    Raises:
        InputError: files missing or damaged, or weights that do not fit the settings.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}, which exists", "a new or empty folder", "choose another --out")
    weights_file = _weights_file(checkpoint)
    settings = _settings(weights_file.parent / CONFIG)
    state_dict = _state_dict(weights_file)
    sizes, task = _sizes(state_dict, data)
    network = from_official({**settings, **sizes}, state_dict)
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
        "task": task,
        "halting": asdict(halting),
        "provenance": provenance() | {"imported_from": weights_file.name},
    }
    write_model_folder(out, config, network.state_dict())
    return {"run": str(out), "params": count_params(network), "unmatched": []}


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


def _settings(path: Path) -> Mapping[str, Any]:
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
    return arch


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


def _sizes(state_dict: Mapping[str, Tensor], data: Path | None) -> tuple[dict[str, int], dict[str, Any]]:
    """What the official data loader adds to the settings, and the task."""
    weights = {ours_of(name): tensor for name, tensor in state_dict.items()}
    if "embed_tokens.weight" not in weights:
        raise InputError(
            "a checkpoint without embed_tokens", "an HRM or TRM checkpoint", "use a puzzle checkpoint"
        )
    vocab_size = len(weights["embed_tokens.weight"])
    ids = len(weights["puzzle_emb.weights"]) if "puzzle_emb.weights" in weights else 1
    if data is not None:
        dataset = read_dataset(data)
        seq_len, task = dataset.train.metadata.seq_len, dataset.task_settings
    elif vocab_size == get_task("sudoku").vocab_size:
        seq_len, task = 81, {"name": "sudoku", "size": 9}
    else:
        seq_len, task = 0, None
    if task is None or get_task(task).vocab_size != vocab_size:
        raise InputError(
            f"a checkpoint of {vocab_size} tokens{'' if data is None else f' with the data set {data}'}",
            "a data set of the checkpoint's own task",
            "pass --data DIR with the data it was trained on",
        )
    return {"vocab_size": vocab_size, "seq_len": seq_len, "num_puzzle_identifiers": ids}, dict(task)
