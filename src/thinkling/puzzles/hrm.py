"""The Hierarchical Reasoning Model (Wang et al. 2025, arXiv 2506.21734).

Two networks: a slow high-level module and a fast low-level one; the gradient goes through the last step of each.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from thinkling.puzzles.reasoner import Reasoner, ReasonerConfig, ReasonerLevel


@dataclass(frozen=True, kw_only=True)
class HRMConfig(ReasonerConfig):
    """Architecture of an HRM; the defaults are the published 27 M one."""

    H_layers: int = 4
    """Blocks of the high-level module."""
    L_layers: int = 4
    """Blocks of the low-level module."""


class HRM(Reasoner):
    """Hierarchical Reasoning Model. `model.segment(carry, batch)` is one segment of thought."""

    gradient = "last_step"
    config: HRMConfig

    def __init__(self, config: HRMConfig, *, seed: int = 0) -> None:
        super().__init__(config)
        self.H_level = ReasonerLevel(config, config.H_layers)
        self.L_level = ReasonerLevel(config, config.L_layers)
        self.initialize(seed)

    def levels(self) -> tuple[nn.Module, nn.Module]:
        """(low-level module, high-level module)."""
        return self.L_level, self.H_level
