"""What the slots need of a model and of a batch.

Shapes: B slots, L positions.
"""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from thinkling.thinking.carry import Carry, SegmentOutput


class Batch(Protocol):
    """What the slots hold: tensors with one row a slot."""

    @property
    def inputs(self) -> Tensor:
        """[B, L] integer tokens."""

    def select(self, rows: Tensor) -> Self:
        """The rows named by an index tensor, in its order."""

    def put(self, rows: Tensor, other: Self) -> Self:
        """A new batch in which `rows` hold the rows of `other`."""

    def join(self, other: Self) -> Self:
        """These rows and behind them those of `other`."""

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""


B_contra = TypeVar("B_contra", bound=Batch, contravariant=True)


class Thinker(Protocol[B_contra]):
    """What the slot machine needs of a model."""

    def fresh_carry(self, batch_size: int) -> Carry:
        """A carry whose slots are all halted."""

    def segment(self, carry: Carry, batch: B_contra) -> tuple[Carry, SegmentOutput]:
        """One segment."""
