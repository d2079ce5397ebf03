"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), half-split pairing.

Pairs are (i, i + E/2), as in HRM, TRM, Llama and Qwen, not neighbours (2i, 2i + 1).
Shapes: B batch, S positions, N heads, E head size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(position: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine of position * base^(-2i/E), each [..., S, E] in fp32; positions [..., S] integer.

    The sine of the first half carries the minus sign of the rotation, so that rotating is
    `x * cos + swap_halves(x) * sin`.
    """
    return _tables(_angles(position, head_dim, base))


def rope_tables_2d(row: Tensor, column: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """The same over a grid: half of the pairs turn with the row [S], half with the column [S]; E a multiple of 4."""
    return _tables(torch.cat((_angles(row, head_dim // 2, base), _angles(column, head_dim // 2, base)), -1))


def _angles(position: Tensor, head_dim: int, base: float) -> Tensor:
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=position.device) / head_dim
    return position.float().unsqueeze(-1) * base**-exponent


def _tables(angle: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat((angle.cos(), angle.cos()), -1), torch.cat((-angle.sin(), angle.sin()), -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [B, S, N, E] by their positions; tables [S, E], or [B, S, E] where rows differ."""
    swapped = torch.roll(x, x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * cos.unsqueeze(-2), swapped, sin.unsqueeze(-2))
