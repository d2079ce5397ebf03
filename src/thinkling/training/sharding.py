"""A model whose weights, gradients and optimiser state are divided over the ranks (FSDP2, arXiv 2304.11277).

Each layer is one unit, and what is in no layer is another: a unit's weights are gathered when it computes, in the
forward and in the backward pass, and its gradients are averaged into the parts that the ranks keep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from thinkling.artifacts.shards import check_supported
from thinkling.errors import InputError
from thinkling.nn.sharding import is_divided, whole
from thinkling.training.objective import Shard


@runtime_checkable
class Divisible(Protocol):
    """An objective whose model can be divided: its loss uses weights only inside, or after, the forward pass."""

    def units(self) -> Sequence[nn.Module]:
        """The layers, in the order of the forward pass."""
        ...


def divide(objective: object, model: nn.Module, shard: Shard) -> None:
    """Divide a model in place, where there are several ranks. Collective.

    All start from rank 0's weights, which every rank has whole at this moment.

    Raises:
        InputError: the objective's model cannot be divided, or torch is too old.
    """
    if not isinstance(objective, Divisible):
        raise InputError(
            "sharding full",
            "none for this kind of training (full: pre-training and fine-tuning of a language model)",
            "leave --train.sharding out",
        )
    check_supported()
    if shard.world_size == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh  # only those pay who divide
    from torch.distributed.fsdp import fully_shard  # as above

    device = next(model.parameters()).device
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, 0)
    mesh = init_device_mesh(device.type, (shard.world_size,))
    for unit in objective.units():
        fully_shard(unit, mesh=mesh)
    # A loss may use the embedding table as output layer after the forward pass, so the root stays whole until the
    # backward pass is over.
    fully_shard(model, mesh=mesh, reshard_after_forward=False)


@contextlib.contextmanager
def gathered_in(model: nn.Module) -> Iterator[None]:
    """Inside the block every rank has all weights, and may use them alone, for instance to score. Collective.

    An ordinary model stays as it is.
    """
    units = _units(model)
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not model, recurse=False)
            unit.reshard()


def _units(model: nn.Module) -> list[Any]:
    if not any(is_divided(parameter) for parameter in model.parameters()):
        return []
    from torch.distributed.fsdp import FSDPModule  # only those pay who divide

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def all_whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Divided tensors as whole ones in rank 0's main memory, other ranks get empty ones; the rest as it is.

    Collective; one tensor at a time, so that no device has to hold all of them.
    """
    keep = not dist.is_initialized() or dist.get_rank() == 0
    joined = {}
    for name, tensor in tensors.items():
        if is_divided(tensor):
            full = whole(tensor)
            joined[name] = full.cpu() if keep else torch.empty(0)
        else:
            joined[name] = tensor
    return joined


def divided_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, divided as another one of its shape is; as it is where that one is whole."""
    if not is_divided(other) or is_divided(tensor) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor  # as above

    assert isinstance(other, DTensor)
    # No rank sends anything: each one has the whole and takes its part.
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)
