"""The two coupled recurrences of one segment, and which part of them receives gradient.

HRM (arXiv 2506.21734, section 2): N high-level cycles of T low-level steps; the gradient goes through the last
low-level and the last high-level step only ("1-step gradient"). TRM (arXiv 2510.04871, figure 3): the gradient goes
through the whole last cycle. CGAR (arXiv 2511.08653, section 3.3): training begins with few cycles a segment and ends
with all of them.

Shapes: B batch, S positions, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from thinkling.errors import InputError

Level = Callable[[Tensor, Tensor], Tensor]
"""A module of the recurrence: (state [B, S, D], injection [B, S, D]) -> new state [B, S, D]."""

GradientThrough = Literal["last_step", "last_cycle"]
"""HRM's 1-step gradient, or TRM's whole last cycle."""


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """How long the two recurrences of one segment are."""

    H: int
    """High-level cycles."""
    L: int
    """Low-level steps in each of them."""


@dataclass(frozen=True, kw_only=True)
class DepthCurriculum:
    """Few cycles in a segment at the start of training, all of the model's at its end.

    The progressive depth curriculum of CGAR: `first_L_cycles` 2, `first_H_cycles` 1 and three stages of 30 % of the
    steps give its (L, H) cycles of (2, 1), (4, 2) and (6, 3) for a TRM. Its weights of the supervision steps are left
    out. Stages are counted in steps, not in shares of the training, so that they mean the same by the clock and with
    another number of steps.
    """

    first_H_cycles: int = 0
    """High-level cycles in a segment of the first stage (0: the model's, throughout)."""
    first_L_cycles: int = 0
    """Low-level steps in a high-level cycle of the first stage (0: the model's, throughout)."""
    stages: int = 3
    """Stages, from the first cycles to the model's in even steps, rounded half up."""
    stage_steps: int = 0
    """Training steps of every stage but the last, which has the rest; needed with first cycles."""

    def __post_init__(self) -> None:
        for name in ("first_H_cycles", "first_L_cycles", "stage_steps"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}", "0 (off) or more", f"set depth.{name}")
        if self.stages < 2:
            raise InputError(f"stages {self.stages}", "2 or more", "set depth.stages")
        if self.on and not self.stage_steps:
            raise InputError(
                "a depth curriculum with stage_steps 0",
                "1 or more training steps a stage",
                "set depth.stage_steps, say to 0.3 of train.steps",
            )

    @property
    def on(self) -> bool:
        """Whether there is a curriculum at all."""
        return bool(self.first_H_cycles or self.first_L_cycles)

    def check_fits(self, full: Cycles) -> None:
        """Refuses to begin deeper than a model ends.

        Raises:
            InputError: more cycles at first than in `full`.
        """
        for name, first, most in (
            ("first_H_cycles", self.first_H_cycles, full.H),
            ("first_L_cycles", self.first_L_cycles, full.L),
        ):
            if first > most:
                raise InputError(
                    f"{name} {first}",
                    f"up to {most}, as the model has in the end",
                    f"lower depth.{name} or raise model.{name.removeprefix('first_')}",
                )

    def cycles_at(self, step: int, full: Cycles) -> Cycles:
        """The cycles of a segment at a training step (from 1), for a model of `full` cycles."""
        if not self.on:
            return full
        return self.cycles_of_stage(min(self.stages - 1, (step - 1) // self.stage_steps), full)

    def cycles_of_stage(self, stage: int, full: Cycles) -> Cycles:
        """The cycles of a segment in a stage (from 0)."""

        def between(first: int, last: int) -> int:
            return first + (2 * (last - first) * stage + self.stages - 1) // (2 * (self.stages - 1))

        return Cycles(
            H=between(self.first_H_cycles or full.H, full.H), L=between(self.first_L_cycles or full.L, full.L)
        )

    def steps_of_stages(self, steps: int, full: Cycles) -> list[tuple[Cycles, int]]:
        """(cycles, training steps) of each stage of a training of so many steps; stages it does not reach have 0."""
        if not self.on:
            return [(full, steps)]
        short = [
            min(self.stage_steps, max(0, steps - stage * self.stage_steps))
            for stage in range(self.stages - 1)
        ]
        lengths = [*short, steps - sum(short)]
        return [(self.cycles_of_stage(stage, full), length) for stage, length in enumerate(lengths)]


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
