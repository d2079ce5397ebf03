"""The carry: the latent state that goes from one segment to the next. A value: passed in, returned new.

Shapes: B batch (slots), S = P + L positions (puzzle prefix and sequence), D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Carry:
    """State of B slots between segments."""

    z_H: Tensor
    """[B, S, D] high-level state, in the compute dtype."""
    z_L: Tensor
    """[B, S, D] low-level state, in the compute dtype."""
    steps: Tensor
    """[B] integer segments spent on the question in the slot."""
    halted: Tensor
    """[B] bool: the slot is done; the next segment starts it anew from the initial state."""

    def select(self, rows: Tensor) -> Carry:
        """The rows named by an index tensor, in its order."""
        return Carry(z_H=self.z_H[rows], z_L=self.z_L[rows], steps=self.steps[rows], halted=self.halted[rows])

    def join(self, *others: Carry) -> Carry:
        """These slots and behind them those of `others`, in their order."""
        every = (self, *others)
        return Carry(
            z_H=torch.cat([carry.z_H for carry in every]),
            z_L=torch.cat([carry.z_L for carry in every]),
            steps=torch.cat([carry.steps for carry in every]),
            halted=torch.cat([carry.halted for carry in every]),
        )

    def with_halted(self, halted: Tensor) -> Carry:
        """The same state with another halting decision [B] bool."""
        return Carry(z_H=self.z_H, z_L=self.z_L, steps=self.steps, halted=halted)


@dataclass(frozen=True, kw_only=True)
class SegmentOutput:
    """What one segment says."""

    logits: Tensor
    """[B, L, V] answer logits."""
    q_halt: Tensor
    """[B] fp32 logit: the answer is exactly right."""
    q_continue: Tensor
    """[B] fp32 logit: the value of thinking on."""


def fresh_carry(batch: int, positions: int, width: int, *, dtype: torch.dtype, device: torch.device) -> Carry:
    """A carry whose slots are all halted, so that their first segment starts from the initial state."""
    return Carry(
        z_H=torch.zeros(batch, positions, width, dtype=dtype, device=device),
        z_L=torch.zeros(batch, positions, width, dtype=dtype, device=device),
        steps=torch.zeros(batch, dtype=torch.int64, device=device),
        halted=torch.ones(batch, dtype=torch.bool, device=device),
    )
