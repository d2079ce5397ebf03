"""Tensors that are divided over processes: what code that also meets ordinary tensors asks of them.

A tensor counts as divided by its methods, not by its class: importing `torch.distributed.tensor` takes half a second,
which only those should pay who divide something.
"""

from __future__ import annotations

from torch import Tensor


def is_divided(tensor: Tensor) -> bool:
    """Whether each process holds a part of it (a DTensor)."""
    return hasattr(tensor, "to_local")


def local_part(tensor: Tensor) -> Tensor:
    """This process's part, in the same memory; an ordinary tensor as it is."""
    if not is_divided(tensor):
        return tensor
    part: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]  # a DTensor's
    return part


def whole(tensor: Tensor) -> Tensor:
    """All of it on every process; an ordinary tensor as it is. Collective where it is divided."""
    if not is_divided(tensor):
        return tensor
    full: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]  # a DTensor's
    return full
