"""Several processes that train one model: torchrun's environment, slots a rank, sums over ranks.

Each rank holds B slots of the global batch. Gradients are averaged by DistributedDataParallel, or by FSDP2 where the
model is divided over the ranks (`training.sharding`); the trainer scales the loss so that this average is the gradient
of the global mean. State of the slots is gathered when it is saved, so a run can be resumed on another number of ranks.
All ranks read the same run folder.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from thinkling.artifacts.run_folder import cannot_write
from thinkling.errors import InputError, ThinklingError
from thinkling.nn.sharding import is_divided
from thinkling.training.objective import Shard


@contextlib.contextmanager
def process_group() -> Iterator[Shard]:
    """Join the process group that torchrun has announced, if any, for the length of the block.

    Yields this rank's shard. Uses nccl where there is a GPU for every local process, else gloo. Without
    torchrun nothing is started.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield current_shard()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if on_gpu:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield current_shard()
    finally:
        dist.destroy_process_group()


def current_shard() -> Shard:
    """This process's place among the ranks; the only one when no process group is up."""
    if dist.is_available() and dist.is_initialized():
        return Shard(rank=dist.get_rank(), world_size=dist.get_world_size())
    return Shard()


def check_divisible(batch_size: int, shard: Shard) -> None:
    """Every rank must hold the same number of slots.

    Raises:
        InputError: the batch cannot be shared out evenly.
    """
    if batch_size % shard.world_size:
        raise InputError(
            f"batch_size = {batch_size} on {shard.world_size} processes",
            f"a multiple of {shard.world_size}",
            "change the batch size or the number of processes",
        )


def wrapped(model: nn.Module, shard: Shard) -> Callable[..., Any]:
    """The model, or its DDP wrapper when there are several ranks and it is not divided over them.

    All start from rank 0's weights and buffers. Buffers are not sent again later: sparse tables stay equal by
    equal updates, everything else is constant.
    """
    if shard.world_size == 1 or any(is_divided(param) for param in model.parameters()):
        return model
    known = inspect.signature(DistributedDataParallel).parameters
    # The option was renamed in torch 2.13.
    option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    choices: dict[str, Any] = {option: False}
    return DistributedDataParallel(model, **choices)


def kept_local(forward: Callable[..., Any]) -> AbstractContextManager[None]:
    """A block in which backward passes add up gradients of this rank only, to be shared by a later one.

    Those of a divided model are shared each time: kept local, they would need room for all of them on every rank.
    """
    if isinstance(forward, DistributedDataParallel):
        return forward.no_sync()
    return contextlib.nullcontext()


def collect_wrappers(shard: Shard) -> None:
    """Free unused DDP wrappers now.

    They sit in reference cycles and hold the process group; gloo's threads would outlive
    `destroy_process_group` and now and then abort the process while Python shuts down.
    """
    if shard.world_size > 1:
        gc.collect()


def added_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Element-wise sum over all ranks, in double precision; the same on every rank."""
    if current_shard().world_size == 1:
        return [float(value) for value in values]
    vector = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(vector)
    return [float(value) for value in vector.tolist()]


def added_on_device(value: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, which the host does not wait for; the tensor itself where there is one rank."""
    if current_shard().world_size == 1:
        return value
    added = value.clone()
    dist.all_reduce(added)
    return added


def from_rank_0(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Rank 0's numbers on every rank. All ranks give the same names."""
    if current_shard().world_size == 1:
        return dict(values)
    names = sorted(values)
    vector = torch.tensor([values[name] for name in names], dtype=torch.float64, device=device)
    dist.broadcast(vector, 0)
    numbers = dict(zip(names, vector.tolist(), strict=True))
    return {name: numbers[name] for name in values}


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of all ranks, joined in rank order, on every rank. [B, ...] -> [B * ranks, ...]."""
    world_size = current_shard().world_size
    if world_size == 1:
        return dict(tensors)
    joined = {}
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        # As bytes, since gloo knows neither bool nor every float type.
        flat = tensor.reshape(-1).view(torch.uint8)
        parts = [torch.empty_like(flat) for _ in range(world_size)]
        dist.all_gather(parts, flat)
        joined[name] = torch.cat([part.view(tensor.dtype).reshape(tensor.shape) for part in parts])
    return joined


def sharded(tensors: Mapping[str, Tensor], shard: Shard) -> dict[str, Tensor]:
    """This rank's part of gathered tensors. [B * ranks, ...] -> [B, ...]."""
    return {name: tensor[shard.local(len(tensor))].clone() for name, tensor in tensors.items()}


def on_rank_0(write: Callable[[], object], what: str, device: torch.device) -> None:
    """Let rank 0 write to the disk while the others wait; if it cannot, every rank hears of it. Collective.

    Raises:
        ThinklingError: the disk is full or not writable.
    """
    error: ThinklingError | None = None
    if current_shard().rank == 0:
        try:
            write()
        except ThinklingError as problem:
            error = problem
        except OSError as problem:
            error = cannot_write(what, problem)
    if sum(added_over_ranks([error is not None], device)) > 0:
        raise error or ThinklingError(f"rank 0 could not write {what}")
