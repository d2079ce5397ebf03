"""A table of which each step touches few rows: one row per puzzle, updated by sign-SGD (HRM).

The table is a buffer, not a parameter: with a million augmented puzzles a dense gradient and two Adam moments would
dwarf the model. A lookup in training hands out a leaf tensor that collects the gradient of its rows; the optimiser
(`optim/sign_sgd.py`) takes them from `lookups`.

Shapes: B batch, E embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SparseEmbedding(nn.Module):
    """Rows of a table. [B] integer -> [B, E] fp32."""

    weights: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(count, width))
        self.lookups: list[tuple[Tensor, Tensor]] = []
        """(ids [B], rows [B, E] with `.grad` after backward) of every lookup since `clear`."""

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.weights[ids]
        if self.training and torch.is_grad_enabled():
            rows.requires_grad_()
            self.lookups.append((ids, rows))
        return rows

    def clear(self) -> None:
        """Forget the lookups: their update has been made or given up."""
        self.lookups = []
