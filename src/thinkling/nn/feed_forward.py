"""Gated feed-forward (Shazeer 2020, arXiv 2002.05202): over channels, or over positions for TRM's MLP variant.

Shapes: B batch, S positions, D width, I inner width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn import fused
from thinkling.nn.casting import Linear


def inner_width(width: int, expansion: float, multiple: int = 256) -> int:
    """Inner width of a SwiGLU: 2/3 of `expansion * width`, rounded up to a multiple (HRM, TRM)."""
    return -(-round(expansion * width * 2 / 3) // multiple) * multiple


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) * up(x))` over the channels. [B, S, D] -> [B, S, D].

    `gate_up_proj` holds the rows of gate, then those of up. They are multiplied one after the other: what follows then
    works on contiguous memory.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_up_proj = Linear(width, 2 * inner)
        self.down_proj = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj.cast_weight(x.dtype).chunk(2)
        return self._multiply(
            self.down_proj.cast_weight(x.dtype), self._gated(self._multiply(gate, x), self._multiply(up, x))
        )

    @staticmethod
    def _gated(gate: Tensor, up: Tensor) -> Tensor:
        return gated(gate, up)

    @staticmethod
    def _multiply(weight: Tensor, x: Tensor) -> Tensor:
        return F.linear(x, weight)


class PositionSwiGLU(SwiGLU):
    """The same network over the positions, one for all channels. [B, S, D] -> [B, S, D].

    The weight multiplies from the left, so nothing is transposed in memory.
    """

    @staticmethod
    def _multiply(weight: Tensor, x: Tensor) -> Tensor:
        return torch.bmm(weight.expand(x.shape[0], -1, -1), x)


class GeGLU(SwiGLU):
    """The same with GELU (exact, by the error function) in place of SiLU, as in ModernBERT. [B, S, D] -> [B, S, D]."""

    @staticmethod
    def _gated(gate: Tensor, up: Tensor) -> Tensor:
        return F.gelu(gate) * up


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, by a kernel where `fused_kernels` says so; without gradient it reuses the memory of `gate`."""
    if fused.wanted(gate, up):
        return fused.gated(gate, up)
    if torch.is_grad_enabled() and gate.requires_grad:
        return F.silu(gate) * up
    return F.silu(gate, inplace=True).mul_(up)
