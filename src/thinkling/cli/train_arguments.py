"""What training any recipe takes, and what a kind of recipe does with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.training.trainer import TrainResult


@dataclass(frozen=True, kw_only=True)
class TrainArguments(CommandArguments, ABC):
    """Train a recipe. Every setting of the recipe is a flag."""

    recipe_name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """The recipe to start from."""
    out: Path
    """The run folder."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the last checkpoint in the run folder."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the resolved settings and what training will cost, and stop."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress line."""

    @abstractmethod
    def train(self) -> TrainResult:
        """Train."""

    @abstractmethod
    def preview(self) -> dict[str, Any]:
        """The resolved settings with parameters, memory and operations, without training."""
