"""Tensors that are divided over processes, on disk: every process writes its part, any number of them reads.

By torch.distributed.checkpoint in its safetensors format, so that there is no pickle here either. A file says of each
part where in the whole tensor it belongs. Imports are inside, since torch's take half a second that few runs need.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkling.errors import InputError, ThinklingError


def check_supported() -> None:
    """InputError unless this torch can write and read divided tensors as safetensors."""
    import torch.distributed.checkpoint as dcp  # half a second that few runs need

    writer = getattr(dcp, "HuggingFaceStorageWriter", None)
    if writer is None or "save_distributed" not in inspect.signature(writer).parameters:
        raise InputError(
            f"sharding full with torch {torch.__version__}", "torch 2.9 or newer", "use sharding none"
        )


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write divided tensors into an empty folder. Collective: every process writes its own part.

    Raises:
        ThinklingError: on every process, if one could not write.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    try:
        save(dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:
        reasons = "; ".join(f"process {rank}: {wrapped[0]}" for rank, wrapped in error.failures.items())
        raise ThinklingError(f"could not write {folder} ({reasons}); the checkpoints are whole") from error


def read_shards(folder: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read what `write_shards` has written, on any number of processes. Collective where there are several.

    Args:
        folder: with all parts.
        like: tensors that have the shapes, and are divided as the result should be; the saved `name.key` is
            divided like `name`.

    Raises:
        InputError: a saved name that belongs to none of them, or another shape; torch is too old.
    """
    check_supported()
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    saved: dict[str, Any] = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    tensors = {}
    for full_name, about in saved.items():
        name = full_name.rpartition(".")[0]
        if name not in like or like[name].shape != about.size:
            raise InputError(
                f"optimiser state for {name} of shape {list(about.size)}",
                "a parameter of this model",
                "resume the same model",
            )
        tensors[full_name] = torch.zeros_like(like[name].detach())
    with warnings.catch_warnings():
        # One process alone is what is meant where there is no process group.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)))
    return tensors
