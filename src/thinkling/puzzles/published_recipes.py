"""The recipes of HRM's and TRM's papers: 5 to 27 million parameters, hours to days on GPUs (their READMEs).

And `trm_sudoku_extreme`, which adds to one of them what later papers found to pay.
"""

from __future__ import annotations

from dataclasses import replace

from thinkling.puzzles.hrm import HRMConfig
from thinkling.puzzles.recipe import HRMRecipe, TRMRecipe
from thinkling.puzzles.trm import TRMConfig
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.perturbation import CarryNoise
from thinkling.training.config import TrainConfig

_SUDOKU_EXAMPLES = 1_000
"""Training puzzles of both papers' Sudoku-Extreme, chosen here by the seed from those that are not held out."""


def hrm_sudoku_extreme() -> HRMRecipe:
    """The published HRM for Sudoku-Extreme, 1,000 puzzles: 27.3 M parameters, hours on a GPU (HRM's README)."""
    return HRMRecipe(
        model=HRMConfig(vocab_size=11, seq_len=81, puzzle_emb_dim=512),
        halting=HaltingConfig(learning="q_learning"),
        train=_published_training(steps=52_083, learning_rate=7e-5, puzzle_emb_lr=7e-5),
        batch_size=384,
        train_size=_SUDOKU_EXAMPLES,
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
        train_size=_SUDOKU_EXAMPLES,
    )


def trm_sudoku_extreme() -> TRMRecipe:
    """TRM with an MLP over positions for Sudoku-Extreme, 1,000 puzzles, with Muon and a noisy carry, for one GPU.

    The network and its average are the published ones. The matrices are updated by Muon (Jordan et al. 2024), a third
    as often; noise on the carry (Equilibrium Reasoners, arXiv 2605.21488) makes chains differ at inference. Best of
    several carries (Speed is Confidence, arXiv 2601.19085) is left to `--carries`. No GPU has run it yet: see
    docs/speedrun.md.
    """
    recipe = trm_mlp_sudoku_extreme()
    return replace(
        recipe,
        train=replace(
            recipe.train,
            steps=20_000,
            optimizer="muon",
            muon_learning_rate=0.02,
            weight_decay=0.1,
            min_lr_ratio=0.05,
            warmup_steps=500,
            validate_every=1000,
            checkpoint_every=500,
        ),
        noise=CarryNoise(initial=1.0, path=0.01),
    )


def trm_attention_sudoku_extreme() -> TRMRecipe:
    """The published TRM with attention: 7 M parameters, hours on a GPU (TRM's README)."""
    recipe = trm_mlp_sudoku_extreme()
    return replace(recipe, model=replace(recipe.model, mixing="attention", positions="rope"))


def hrm_maze_hard() -> HRMRecipe:
    """The published HRM for Maze-Hard, 1,000 mazes of 30x30, not augmented."""
    return HRMRecipe(
        model=HRMConfig(vocab_size=6, seq_len=900, puzzle_emb_dim=512),
        halting=HaltingConfig(learning="q_learning"),
        train=_published_training(steps=26_041, learning_rate=1e-4, puzzle_emb_lr=1e-4),
        batch_size=768,
        augment=False,
    )


def trm_maze_hard() -> TRMRecipe:
    """The published TRM with attention for Maze-Hard, 1,000 mazes of 30x30 and their symmetries."""
    return TRMRecipe(
        model=_trm_attention(vocab_size=6, seq_len=900),
        halting=HaltingConfig(learning="halt_only"),
        train=_published_training(steps=65_104, learning_rate=1e-4, puzzle_emb_lr=1e-4, ema_decay=0.999),
        batch_size=768,
    )


def hrm_arc() -> HRMRecipe:
    """The published HRM for ARC-AGI, with 1,000 augmentations of each task; the steps are those of ARC-AGI-1."""
    return HRMRecipe(
        model=HRMConfig(vocab_size=12, seq_len=900, puzzle_emb_dim=512),
        halting=HaltingConfig(learning="q_learning"),
        train=_arc_training(),
        batch_size=768,
        validation_size=0,
    )


def trm_arc() -> TRMRecipe:
    """The published TRM with attention for ARC-AGI; the steps are those of ARC-AGI-1."""
    return TRMRecipe(
        model=_trm_attention(vocab_size=12, seq_len=900),
        halting=HaltingConfig(learning="halt_only"),
        train=_arc_training(ema_decay=0.999),
        batch_size=768,
        validation_size=0,
    )


def _trm_attention(*, vocab_size: int, seq_len: int) -> TRMConfig:
    """TRM's network for 30x30 grids, with fewer low-level steps than for Sudoku."""
    return TRMConfig(
        vocab_size=vocab_size, seq_len=seq_len, puzzle_emb_dim=512, puzzle_emb_len=16, H_cycles=3, L_cycles=4
    )


def _arc_training(ema_decay: float = 0.0) -> TrainConfig:
    """100,000 epochs of 3,988 pairs: all of training and concept, the demonstrations of evaluation."""
    return _published_training(
        steps=519_270, learning_rate=1e-4, puzzle_emb_lr=1e-2, weight_decay=0.1, ema_decay=ema_decay
    )


def _published_training(
    *,
    steps: int,
    learning_rate: float,
    puzzle_emb_lr: float,
    weight_decay: float = 1.0,
    ema_decay: float = 0.0,
) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        learning_rate=learning_rate,
        puzzle_emb_lr=puzzle_emb_lr,
        weight_decay=weight_decay,
        puzzle_emb_weight_decay=weight_decay,
        warmup_steps=2000,
        min_lr_ratio=1.0,
        ema_decay=ema_decay,
    )
