"""Recipes for minutes on two cores of a CPU, each with a small HRM."""

from __future__ import annotations

from dataclasses import replace

from thinkling.puzzles.hrm import HRMConfig
from thinkling.puzzles.recipe import HRMRecipe
from thinkling.thinking.halting import HaltingConfig
from thinkling.training.config import TrainConfig

_MORE_THAN_ENOUGH = 1_000_000
"""Steps of a training that ends by the clock."""


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


def sudoku_extreme() -> HRMRecipe:
    """A curriculum over the levels of `thinkling data make sudoku-levels`, up to the hardest known 9x9 Sudokus, by the
    clock; it learned newspaper Sudokus and none of the others (docs/failed-ideas.md)."""
    return HRMRecipe(
        model=_mixing_hrm(size=9, width=192),
        halting=replace(_short_at_first(), limit_growth=4000),
        train=replace(
            by_the_clock(_laptop_training(steps=_MORE_THAN_ENOUGH, learning_rate=2e-3), 75 * 60),
            optimizer="muon",
            ema_decay=0.999,
            validate_every_seconds=900,
            checkpoint_every=250,
        ),
        loss="softmax",
        batch_size=48,
        curriculum=100_000,
    )


def table() -> HRMRecipe:
    """The user's own table of short questions and answers, in a few minutes on two cores."""
    return HRMRecipe(
        model=_mixing_hrm(size=4, width=128),
        halting=_short_at_first(max_steps=8),
        train=_laptop_training(steps=4000, learning_rate=3e-3),
        loss="softmax",
        batch_size=64,
    )


def maze() -> HRMRecipe:
    """Mazes of about 10x10 in three minutes on two cores."""
    return _growing_maze(steps=3000, batch_size=32)


def maze_30x30() -> HRMRecipe:
    """Mazes of Maze-Hard's kind, 30x30 with paths of 110 steps and more, in twenty minutes on two cores."""
    return _growing_maze(steps=6000, batch_size=16)


def _growing_maze(*, steps: int, batch_size: int) -> HRMRecipe:
    """Two segments at first, five in the end: with two only, a model forgets the path when it thinks on."""
    return HRMRecipe(
        model=_local_hrm(width=64),
        halting=replace(_short_at_first(), limit_growth=steps // 4),
        train=_laptop_training(steps=steps, learning_rate=3e-3),
        batch_size=batch_size,
        loss="softmax",
    )


def arc_small() -> HRMRecipe:
    """A handful of ARC tasks on a small canvas, in half an hour on two cores."""
    return HRMRecipe(
        model=HRMConfig(
            vocab_size=12,
            seq_len=49,
            rows=7,
            columns=7,
            hidden_size=128,
            num_heads=4,
            inner_multiple=64,
            puzzle_emb_dim=128,
            positions="rope_2d",
            H_layers=2,
            L_layers=2,
            H_cycles=1,
            L_cycles=2,
        ),
        halting=_short_at_first(),
        # So strong a decay keeps the model from learning a few dozen pairs by heart.
        train=replace(_laptop_training(steps=8000, learning_rate=1e-3), weight_decay=1.0, puzzle_emb_lr=1e-2),
        batch_size=64,
        loss="softmax",
        validation_size=0,
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


def _local_hrm(*, width: int) -> HRMConfig:
    """A small HRM whose cells see their neighbours: what flows through a grid step by step is learned in minutes.

    No weight depends on the size of the grid.
    """
    return HRMConfig(
        vocab_size=6,
        seq_len=100,
        rows=10,
        columns=10,
        hidden_size=width,
        num_heads=2,
        inner_multiple=64,
        mixing="local",
        positions="none",
        H_layers=2,
        L_layers=2,
        H_cycles=2,
        L_cycles=4,
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
