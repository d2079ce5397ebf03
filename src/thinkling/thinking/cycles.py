"""The two coupled recurrences of one segment, and which part of them receives gradient.

HRM (arXiv 2506.21734, section 2): N high-level cycles of T low-level steps; the gradient goes through the last
low-level and the last high-level step only ("1-step gradient"). TRM (arXiv 2510.04871, figure 3): the gradient goes
through the whole last cycle.

Shapes: B batch, S positions, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Level = Callable[[Tensor, Tensor], Tensor]
"""A module of the recurrence: (state [B, S, D], injection [B, S, D]) -> new state [B, S, D]."""

GradientThrough = Literal["last_step", "last_cycle"]
"""HRM's 1-step gradient, or TRM's whole last cycle."""


def run_cycles(
    z_H: Tensor,
    z_L: Tensor,
    x: Tensor,
    *,
    low: Level,
    high: Level,
    H_cycles: int,
    L_cycles: int,
    gradient: GradientThrough,
) -> tuple[Tensor, Tensor]:
    """`H_cycles` times: `L_cycles` low-level steps `z_L = low(z_L, z_H + x)`, then `z_H = high(z_H, z_L)`.

    Returns:
        (z_H, z_L); only the part named by `gradient` is in the autograd graph.
    """
    with torch.no_grad():
        for _ in range(H_cycles - 1):
            for _ in range(L_cycles):
                z_L = low(z_L, z_H + x)
            z_H = high(z_H, z_L)
        if gradient == "last_step":
            for _ in range(L_cycles - 1):
                z_L = low(z_L, z_H + x)
    assert not z_H.requires_grad, "a no-gradient cycle leaked into the graph"
    for _ in range(1 if gradient == "last_step" else L_cycles):
        z_L = low(z_L, z_H + x)
    return high(z_H, z_L), z_L
