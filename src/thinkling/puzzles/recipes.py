"""Recipes: a function that returns everything a training run needs except the data.

Sizes that follow from the data (vocabulary, length, puzzle ids) are filled in when the data set is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from thinkling.errors import InputError, nearest
from thinkling.nn.cross_entropy import LossName
from thinkling.puzzles.hrm import HRMConfig
from thinkling.puzzles.reasoner import ReasonerConfig
from thinkling.puzzles.trm import TRMConfig
from thinkling.thinking.halting import HaltingConfig
from thinkling.training.config import TrainConfig

_MORE_THAN_ENOUGH = 1_000_000
"""Steps of a training that ends by the clock."""


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
    validation_size: int = 500
    """Training puzzles held out to choose the best checkpoint (at most a fifth of them)."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}", "1 or more", "set batch_size")
        if not 0 <= self.min_unknown < 1:
            raise InputError(
                f"min_unknown {self.min_unknown}", "0 up to, but not including, 1", "set min_unknown"
            )
        if self.validation_size < 1:
            raise InputError(f"validation_size {self.validation_size}", "1 or more", "set validation_size")


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


def sudoku_4x4() -> HRMRecipe:
    """4x4 Sudoku in a few seconds on a CPU: for tests and first looks."""
    return HRMRecipe(
        model=_mixing_hrm(size=4, width=64),
        halting=_short_at_first(max_steps=8),
        train=_laptop_training(steps=600, learning_rate=3e-3),
        loss="softmax",
        validation_size=100,
    )


def sudoku_6x6() -> HRMRecipe:
    """6x6 Sudoku in a minute and a half on two cores: the quick demo."""
    return HRMRecipe(
        model=_mixing_hrm(size=6, width=96),
        halting=_short_at_first(),
        train=_laptop_training(steps=4000, learning_rate=3e-3),
        loss="softmax",
    )


def sudoku_9x9() -> HRMRecipe:
    """9x9 Sudoku of newspaper level in six minutes on two cores: the demo."""
    return HRMRecipe(
        model=_mixing_hrm(size=9, width=128),
        halting=_short_at_first(),
        train=_laptop_training(steps=6000, learning_rate=3e-3),
        loss="softmax",
        min_unknown=0.48,
    )


def hrm_sudoku_extreme() -> HRMRecipe:
    """The published HRM for Sudoku-Extreme, 1,000 puzzles: 27.3 M parameters, hours on a GPU (HRM's README)."""
    return HRMRecipe(
        model=HRMConfig(vocab_size=11, seq_len=81, puzzle_emb_dim=512),
        halting=HaltingConfig(learning="q_learning"),
        train=_published_training(steps=52_083, learning_rate=7e-5, puzzle_emb_lr=7e-5),
        batch_size=384,
    )


def trm_mlp_sudoku_extreme() -> TRMRecipe:
    """The published TRM with an MLP over positions: 5 M parameters, hours on a GPU (TRM's README)."""
    return TRMRecipe(
        model=TRMConfig(
            vocab_size=11, seq_len=81, puzzle_emb_dim=512, puzzle_emb_len=16, mixing="mlp", positions="none"
        ),
        halting=HaltingConfig(learning="halt_only"),
        train=_published_training(steps=65_104, learning_rate=1e-4, puzzle_emb_lr=1e-4, ema_decay=0.999),
        batch_size=768,
    )


def trm_attention_sudoku_extreme() -> TRMRecipe:
    """The published TRM with attention: 7 M parameters, hours on a GPU (TRM's README)."""
    recipe = trm_mlp_sudoku_extreme()
    return replace(recipe, model=replace(recipe.model, mixing="attention", positions="rope"))


RECIPES: dict[str, Callable[[], PuzzleRecipe]] = {
    "sudoku-4x4": sudoku_4x4,
    "sudoku-6x6": sudoku_6x6,
    "sudoku-9x9": sudoku_9x9,
    "hrm-sudoku-extreme": hrm_sudoku_extreme,
    "trm-mlp-sudoku-extreme": trm_mlp_sudoku_extreme,
    "trm-attention-sudoku-extreme": trm_attention_sudoku_extreme,
}


def recipe_named(name: str) -> PuzzleRecipe:
    """A recipe by its name on the command line.

    Raises:
        InputError: there is none of this name; says the nearest.
    """
    if name not in RECIPES:
        raise InputError(f"recipe {name!r}", ", ".join(RECIPES), nearest(name, RECIPES))
    return RECIPES[name]()


def _mixing_hrm(*, size: int, width: int) -> HRMConfig:
    """A small HRM that mixes positions by an MLP: on Sudoku it learns in minutes what attention has not begun to."""
    return HRMConfig(
        vocab_size=size + 2,
        seq_len=size * size,
        hidden_size=width,
        num_heads=4,
        inner_multiple=64,
        mixing="mlp",
        positions="none",
        H_layers=2,
        L_layers=2,
        H_cycles=1,
        L_cycles=2,
    )


def _short_at_first(max_steps: int = 16) -> HaltingConfig:
    """Train on two segments of many puzzles rather than on many segments of few: what is learned there carries over.

    With the full limit from the start, slots are blocked for 16 segments by puzzles that the model cannot solve yet.
    """
    return HaltingConfig(learning="halt_only", max_steps=max_steps, first_limit=2, threshold=0.95)


def _laptop_training(*, steps: int, learning_rate: float) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        min_lr_ratio=0.02,
        warmup_steps=50,
        optimizer="adamw",
        ema_decay=0.99,
        validate_every=steps // 4,
        checkpoint_every=500,
    )


def by_the_clock(train: TrainConfig, seconds: float) -> TrainConfig:
    """The same training, ending with a fully decayed rate after a given time on whatever machine this is.

    The rate then depends on the clock, so unlike training by steps it cannot be repeated bit for bit.
    """
    return replace(
        train,
        steps=_MORE_THAN_ENOUGH,
        time_limit_seconds=seconds,
        lr_by_time=True,
        validate_every=0,
        validate_every_seconds=seconds / 4,
    )


def _published_training(
    *, steps: int, learning_rate: float, puzzle_emb_lr: float, ema_decay: float = 0.0
) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        puzzle_emb_lr=puzzle_emb_lr,
        weight_decay=1.0,
        puzzle_emb_weight_decay=1.0,
        warmup_steps=2000,
        min_lr_ratio=1.0,
        ema_decay=ema_decay,
    )
