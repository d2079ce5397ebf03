"""What the trainer knows of a product: a model, slots, a loss that is a sum with its count, and a validation.

An objective owns the data order, the slots and the compute dtype. The trainer owns everything else: it
divides the loss, calls backward, clips, updates, averages, validates, saves and resumes.

Shapes: B local slots of this rank (global batch size / ranks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

S = TypeVar("S")


@dataclass(frozen=True)
class Loss:
    """The loss of one step on one rank, as a sum and its count; divided once, after all ranks are added."""

    total: Tensor
    """Scalar with gradient: the sum over the local rows."""
    count: Tensor
    """Scalar: the local number of rows (or tokens) that `total` sums over."""
    metrics: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Name -> (sum, count), detached scalars. The names are the same on every rank and at every step."""


def added(losses: Sequence[Loss]) -> Loss:
    """The loss of all parts of a step, without gradient."""
    totals = torch.stack([loss.total.detach() for loss in losses])
    counts = torch.stack([loss.count for loss in losses])
    metrics = {
        name: (
            torch.stack([loss.metrics[name][0] for loss in losses]).sum(),
            torch.stack([loss.metrics[name][1] for loss in losses]).sum(),
        )
        for name in losses[0].metrics
    }
    return Loss(total=totals.sum(), count=counts.sum(), metrics=metrics)


@dataclass(frozen=True)
class Shard:
    """Which part of the global batch this process has: slots [rank * B, (rank + 1) * B)."""

    rank: int = 0
    world_size: int = 1

    def local(self, batch_size: int) -> slice:
        """The slots of the global batch that belong to this rank."""
        size = batch_size // self.world_size
        return slice(self.rank * size, (self.rank + 1) * size)


class Objective(Protocol[S]):
    """A product as the trainer sees it. `S` is the state of the slots, opaque to the trainer."""

    validation_metric: str
    """Key of `validate()` that chooses the best checkpoint; higher is better."""
    counted: str
    """What the count of a loss counts, in the plural: examples or tokens."""
    held_out: bool
    """Whether validation sees examples that training does not; where it cannot, the newest weights are the best."""

    @property
    def model(self) -> nn.Module:
        """The module whose parameters are trained, already on its device."""
        ...

    @property
    def batch_size(self) -> int:
        """Slots over all ranks together; a multiple of the number of ranks."""
        ...

    def fresh_state(self) -> S:
        """The local slots before the first step."""
        ...

    def loss(self, forward: Callable[..., Any], state: S, step: int) -> tuple[S, Loss]:
        """One step of training on the local slots; where gradients are accumulated, one part of a step.

        Args:
            forward: the model, or its DistributedDataParallel wrapper; call this for the pass with gradient.
            state: the local slots before the step; not changed.
            step: number of this step, from 1; of this part, counted through all steps.

        Returns:
            the local slots after the step (detached) and the loss. A function of (seed, step, state) only.
        """
        ...

    def state_tensors(self, state: S) -> dict[str, Tensor]:
        """The slots as tensors to save; every one has the B local slots as its leading dimension."""
        ...

    def restore_state(self, tensors: Mapping[str, Tensor]) -> S:
        """The inverse of `state_tensors`; the tensors are on the CPU."""
        ...

    def restarted_state(self, state: S) -> S:
        """Slots after a poisoned step: every slot starts anew with its next example."""
        ...

    def validate(self) -> dict[str, float]:
        """Scores `model` as it is: averaged weights are swapped in. Called on every rank; rank 0 counts."""
        ...

    def describe(self) -> dict[str, Any]:
        """For config.json: {"product", "architecture", "model", "task", ...}; must be equal on resume."""
        ...

    def write_files(self, folder: Path) -> None:
        """Writes what a run folder needs besides config.json and weights: a tokenizer, names of puzzles."""
        ...
