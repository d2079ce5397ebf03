"""The Tiny Recursive Model (Jolicoeur-Martineau 2025, arXiv 2510.04871).

One network plays both modules; the gradient goes through the whole last cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from thinkling.puzzles.reasoner import Reasoner, ReasonerConfig, ReasonerLevel


@dataclass(frozen=True, kw_only=True)
class TRMConfig(ReasonerConfig):
    """Architecture of a TRM; the defaults are the published 7 M attention one for Sudoku."""

    L_layers: int = 2
    """Blocks of the network."""
    H_cycles: int = 3
    """High-level cycles in a segment (T in the paper)."""
    L_cycles: int = 6
    """Low-level steps in a high-level cycle (n in the paper)."""


class TRM(Reasoner):
    """Tiny Recursive Model. `model.segment(carry, batch)` is one segment of thought."""

    gradient = "last_cycle"
    config: TRMConfig

    def __init__(self, config: TRMConfig, *, seed: int = 0) -> None:
        super().__init__(config)
        self.L_level = ReasonerLevel(config, config.L_layers)
        self.initialize(seed)

    def levels(self) -> tuple[nn.Module, nn.Module]:
        """The same network twice."""
        return self.L_level, self.L_level
