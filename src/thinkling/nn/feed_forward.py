"""SwiGLU feed-forward (Shazeer 2020, arXiv 2002.05202): over channels, or over positions for TRM's MLP variant.

Shapes: B batch, S positions, D width, I inner width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn.casting import Linear


def inner_width(width: int, expansion: float, multiple: int = 256) -> int:
    """Inner width of a SwiGLU: 2/3 of `expansion * width`, rounded up to a multiple (HRM, TRM)."""
    return -(-round(expansion * width * 2 / 3) // multiple) * multiple


class SwiGLU(nn.Module):
    """`down(silu(gate(x)) * up(x))` over the channels. [B, S, D] -> [B, S, D]."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_up_proj = Linear(width, 2 * inner)
        self.down_proj = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class PositionSwiGLU(SwiGLU):
    """The same network over the positions, one for all channels. [B, S, D] -> [B, S, D].

    The weight multiplies from the left, so nothing is transposed in memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self._mix(self.gate_up_proj, x).chunk(2, dim=1)
        return self._mix(self.down_proj, F.silu(gate) * up)

    @staticmethod
    def _mix(layer: Linear, x: Tensor) -> Tensor:
        return torch.bmm(layer.cast_weight(x.dtype).expand(x.shape[0], -1, -1), x)
