"""Local mixing: each cell of a grid sees the eight around it.

What has to flow through a grid step by step, such as distances in a maze, is learned in minutes this way; attention and
an MLP over positions must find out first who is whose neighbour.

Shapes: B batch, S = rows * columns positions in row-major order, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn.casting import CastModule, Linear

REACH = 1
"""Cells that one convolution sees in each direction."""


class DepthwiseConv(CastModule):
    """A 3x3 convolution of each channel by itself, zeros around the grid. [B, S, D] -> [B, S, D]."""

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.weight = nn.Parameter(torch.empty(width, 1, 2 * REACH + 1, 2 * REACH + 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, positions, width = x.shape
        # A view in channels-last order: nothing moves in memory.
        grid = x.view(batch, self.rows, self.columns, width).permute(0, 3, 1, 2)
        mixed = F.conv2d(grid, self.cast_weight(x.dtype), padding=REACH, groups=width)
        return mixed.permute(0, 2, 3, 1).reshape(batch, positions, width)


class LocalMixing(nn.Module):
    """`out(silu(depthwise(in(x))))`: a depthwise separable convolution (Chollet 2017, arXiv 1610.02357).

    [B, S, D] -> [B, S, D].
    """

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.in_proj = Linear(width, width)
        self.depthwise = DepthwiseConv(width, rows, columns)
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(F.silu(self.depthwise(self.in_proj(x))))
        return out
