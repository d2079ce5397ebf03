"""Floating-point operations, counted from the shapes of a module, nothing measured.

Only matrix products are counted, two operations a multiply-add.
"""

from __future__ import annotations

from torch import nn

from thinkling.nn.attention import Attention
from thinkling.nn.casting import Linear
from thinkling.nn.feed_forward import PositionSwiGLU
from thinkling.nn.local_mixing import DepthwiseConv


def forward_flops(stack: nn.Module, positions: int, width: int) -> int:
    """Operations of one pass of a stack of blocks over one example of so many positions of this width."""
    total = 0
    by_position = {
        id(layer)
        for module in stack.modules()
        if isinstance(module, PositionSwiGLU)
        for layer in module.children()
    }
    for module in stack.modules():
        if isinstance(module, Linear | DepthwiseConv):
            total += 2 * module.weight.numel() * (width if id(module) in by_position else positions)
        elif isinstance(module, Attention):
            total += 2 * 2 * positions * positions * width
    return total
