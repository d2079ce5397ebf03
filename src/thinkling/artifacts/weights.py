"""Weights on disk: safetensors, written whole, loaded strictly.

Nothing here runs code from a file: there is no pickle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from thinkling.artifacts.run_folder import (
    AVERAGED,
    CONFIG,
    MANIFEST,
    WEIGHTS,
    write_json,
    write_manifest,
    write_whole,
)
from thinkling.errors import InputError


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file, whole or not at all. Tied tensors are written once for each name.

    Raises:
        OSError: the disk is full or not writable.
    """
    write_whole(path, lambda temporary: _save(temporary, _separate(tensors)))


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        # Transformers refuses a file that does not say which library its tensors are for.
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:  # it wraps the system's error, a full disk for one
        raise OSError(str(error)) from error


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and no two sharing memory, as the format wants them."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.untyped_storage().data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        separate[name] = tensor
    return separate


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is missing", "a safetensors file", "check the path, or use another checkpoint"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is damaged ({error})", "a whole safetensors file", "use another checkpoint of the run"
        ) from None


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], tolerated: Collection[str] = ()) -> None:
    """Copy tensors into a module, strictly: every name and shape must match.

    Args:
        module: whose parameters and persistent buffers are overwritten.
        tensors: by name, as in `module.state_dict()`.
        tolerated: names that may be missing from, or superfluous in, `tensors`.

    Raises:
        InputError: listing the missing, superfluous and misshapen names.
    """
    own = module.state_dict()
    faults = [f"{name} is missing" for name in own if name not in tensors and name not in tolerated]
    faults += [f"{name} is not in the model" for name in tensors if name not in own and name not in tolerated]
    faults += [
        f"{name} has shape {list(tensors[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if faults:
        listed = ", ".join(faults[:8]) + (f" and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise InputError(
            f"weights that do not fit: {listed}", "the model's own names and shapes", "check the config"
        )
    module.load_state_dict({name: tensors[name] for name in own if name in tensors}, strict=False)


def read_model_weights(folder: Path, *, averaged: bool = True) -> dict[str, Tensor]:
    """The weights of a model folder: the averaged ones if it has them and they are wanted, else the plain.

    Raises:
        InputError: the file is missing or damaged.
    """
    name = AVERAGED if averaged and (folder / AVERAGED).exists() else WEIGHTS
    return load_weights(folder / name)


def write_model_folder(
    folder: Path,
    config: dict[str, Any],
    weights: Mapping[str, Tensor],
    averaged: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a loadable model folder: config.json, weights, and the manifest last.

    Raises:
        OSError: the disk is full or not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Without a manifest a reader of the half-replaced folder still accepts each file, and each file is whole.
    (folder / MANIFEST).unlink(missing_ok=True)
    write_json(folder / CONFIG, config)
    save_weights(folder / WEIGHTS, weights)
    if averaged is None:
        (folder / AVERAGED).unlink(missing_ok=True)
    else:
        save_weights(folder / AVERAGED, averaged)
    write_manifest(folder, [WEIGHTS] if averaged is None else [WEIGHTS, AVERAGED])
