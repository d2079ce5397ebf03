"""fp32 master weights, matrix products in the compute dtype, one cast per optimiser step.

A recursive model uses each weight many times in one step, first without and then with gradient. Autocast would cache
the cast made under `no_grad` and reuse it with gradients on, and the weight would silently get no gradient. Here a cast
is made explicitly: `weights_cast_once` makes it with gradient where gradient is on, every use inside the block shares
it, and a cast that cannot carry the gradient that is asked for is never reused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn.sharding import is_divided


class CastModule(nn.Module):
    """A module with one fp32 master `weight` that is used in another dtype."""

    weight: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self._shared_cast: Tensor | None = None

    def cast_weight(self, dtype: torch.dtype) -> Tensor:
        """The weight in `dtype`: the shared cast inside `weights_cast_once`, a fresh one elsewhere."""
        shared = self._shared_cast
        gradient_wanted = torch.is_grad_enabled() and self.weight.requires_grad
        if shared is not None and shared.dtype == dtype and (shared.requires_grad or not gradient_wanted):
            return shared
        return self.weight.to(dtype)


@contextlib.contextmanager
def weights_cast_once(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Cast every `CastModule` of `model` once for the whole block; inner blocks reuse the outer one's casts.

    A weight that is divided over processes is only there while its layer computes, and is cast then.
    """
    opened = []
    for module in model.modules():
        if not isinstance(module, CastModule) or is_divided(module.weight):
            continue
        if module.cast_weight(dtype) is not module._shared_cast:
            opened.append((module, module._shared_cast))
            module._shared_cast = module.weight.to(dtype)
    try:
        yield
    finally:
        for module, outer in opened:
            module._shared_cast = outer


class Linear(CastModule):
    """`x @ weight.T + bias` in the dtype of `x`; the weight stays fp32. [..., in] -> [..., out]."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.cast_weight(x.dtype), bias)


class Embedding(CastModule):
    """Rows of a table in a given dtype. [...] integer -> [..., D]."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def forward(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        return F.embedding(ids, self.cast_weight(dtype))
