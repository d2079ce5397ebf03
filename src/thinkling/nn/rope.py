"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), half-split pairing.

Pairs are (i, i + E/2), as in HRM, TRM, Llama and Qwen, not neighbours (2i, 2i + 1).
Shapes: B batch, S positions, N heads, E head size.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(positions: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine of position * base^(-2i/E), each [S, E] in fp32.

    The sine of the first half carries the minus sign of the rotation, so that rotating is
    `x * cos + swap_halves(x) * sin`.
    """
    inverse_frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.outer(torch.arange(positions, dtype=torch.float32), inverse_frequency)
    return torch.cat((angle.cos(), angle.cos()), -1), torch.cat((-angle.sin(), angle.sin()), -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [B, S, N, E] by their positions; tables [S, E]."""
    swapped = torch.roll(x, x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * cos[:, None], swapped, sin[:, None])
