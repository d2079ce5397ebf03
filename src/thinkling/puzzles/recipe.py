"""What a recipe is: everything a training run needs except the data.

Sizes that follow from the data (vocabulary, length, grid, puzzle ids) are filled in when the data set is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from thinkling.errors import InputError
from thinkling.nn.cross_entropy import LossName
from thinkling.puzzles.hrm import HRMConfig
from thinkling.puzzles.reasoner import ReasonerConfig
from thinkling.puzzles.trm import TRMConfig
from thinkling.thinking.cycles import DepthCurriculum
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.perturbation import CarryNoise
from thinkling.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class PuzzleRecipe:
    """How to train a puzzle model."""

    model: ReasonerConfig
    """Architecture."""
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    """Adaptive computation time."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, optimiser, schedule, checkpoints."""
    batch_size: int = 32
    """Slots over all processes."""
    loss: LossName = "stablemax"
    """Token loss."""
    augment: bool = True
    """Apply a random symmetry of the task to every training example."""
    min_unknown: float = 0.0
    """Leave out training puzzles of which a smaller share of cells is to be filled in: too easy to teach much."""
    curriculum: int = 0
    """Training examples over which harder and harder puzzles join in, by their blanks and rating (0: all at once)."""
    train_size: int = 0
    """Learn from at most so many training puzzles, chosen by the seed (0: from all that are not held out)."""
    validation_size: int = 500
    """Training puzzles held out to choose the best checkpoint (at most a fifth of them).

    0 holds none out, for data sets such as ARC whose puzzles are all different tasks: the newest weights are kept, and
    the validation says how well training puzzles are learned.
    """
    noise: CarryNoise = field(default_factory=CarryNoise)
    """Random starts and paths of the carry in training."""
    carries: int = 1
    """Carries of each question in training, of which only the one with the lowest loss gets gradient; more than one
    need noise, or they would all be the same."""
    depth: DepthCurriculum = field(default_factory=DepthCurriculum)
    """Fewer cycles in a segment at the start of training."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}", "1 or more", "set batch_size")
        if not 0 <= self.min_unknown < 1:
            raise InputError(
                f"min_unknown {self.min_unknown}", "0 up to, but not including, 1", "set min_unknown"
            )
        for name in ("curriculum", "train_size"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}", "0 (off) or more", f"set {name}")
        if self.validation_size < 0:
            raise InputError(f"validation_size {self.validation_size}", "0 or more", "set validation_size")
        if self.carries < 1:
            raise InputError(f"carries {self.carries}", "1 or more", "set carries")
        if self.carries > 1 and not self.noise.on:
            raise InputError(
                f"{self.carries} carries without noise", "noise that makes them differ", "set noise.initial"
            )
        self.depth.check_fits(self.model.cycles)


@dataclass(frozen=True, kw_only=True)
class HRMRecipe(PuzzleRecipe):
    """How to train an HRM."""

    model: HRMConfig = field(default_factory=lambda: HRMConfig(vocab_size=11, seq_len=81))
    """Architecture."""


@dataclass(frozen=True, kw_only=True)
class TRMRecipe(PuzzleRecipe):
    """How to train a TRM."""

    model: TRMConfig = field(default_factory=lambda: TRMConfig(vocab_size=11, seq_len=81))
    """Architecture."""
