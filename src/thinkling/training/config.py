"""Settings of one training run that are the same for every product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thinkling.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; what to train (model, data, batch size) is the objective's own config."""

    steps: int = 10_000
    """Optimiser steps; training ends here, or earlier at `time_limit_seconds`."""
    accumulation: int = 1
    """Parts of one step: gradients of so many batches are added before an update, where one large one does not fit."""
    learning_rate: float = 1e-4
    """Highest learning rate, reached after the warm-up."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.1
    """The learning rate ends at this share of its highest value (1: no decay)."""
    lr_by_time: bool = False
    """The decay follows the share of `time_limit_seconds` that has passed instead of the share of steps."""
    optimizer: Literal["adam_atan2", "adamw", "muon"] = "adam_atan2"
    """Update rule; with muon (Jordan et al. 2024) that of the hidden matrices, and adamw for all the others. Sparse
    puzzle embeddings always use sign-SGD."""
    muon_learning_rate: float = 0.02
    """Highest learning rate of the matrices under muon; follows the same schedule."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of the first and second moment."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    decay_biases: bool = True
    """Whether vectors (biases, norms) decay too, as in HRM; False: matrices only."""
    puzzle_emb_lr: float = 1e-2
    """Highest learning rate of the sparse puzzle embeddings; follows the same schedule."""
    puzzle_emb_weight_decay: float = 0.1
    """Decay of the puzzle embedding rows that are in the batch."""
    grad_clip: float = 0.0
    """Largest gradient norm (0: no clipping)."""
    ema_decay: float = 0.0
    """Decay of the exponential moving average of the parameters (0: no average), 0.999 in TRM."""
    seed: int = 0
    """Seed of initialisation and data order."""
    log_every: int = 20
    """Steps between rows of metrics.jsonl."""
    validate_every: int = 1000
    """Steps between validations (0: none but the last)."""
    validate_every_seconds: float = 0.0
    """Training seconds between validations (0: by steps only)."""
    patience: int = 0
    """Validations in a row that are no better than the best one, after which training ends (0: it goes on)."""
    min_gain: float = 0.0
    """How much the metric that chooses the best weights must rise for a validation to be better, with patience."""
    checkpoint_every: int = 1000
    """Steps between checkpoints (0: the first and the last only)."""
    time_limit_seconds: float = 0.0
    """Training seconds, validation not counted, after which training ends (0: no limit)."""
    sharding: Literal["none", "full"] = "none"
    """What several processes divide among them: full: weights, gradients and optimiser state (language models, with
    adamw); none: nothing, each has all of the model."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products; the objective casts. Parameters and optimiser state stay float32."""
    compile: bool = False
    """Let torch.compile make one program of a puzzle model's segment, before the clock starts. It needs a compiler, and
    agrees with the plain path within rounding."""
    fused: Literal["auto", "on", "off"] = "auto"
    """Triton kernels for residual, norm and SwiGLU, each pass one, which agree with plain operations within rounding:
    auto: on a GPU where they work; on: an error where they do not; off: plain operations."""

    def __post_init__(self) -> None:
        """Refuses values that cannot work.

        Raises:
            InputError: naming the first field out of its range.
        """
        for name in ("steps", "accumulation", "log_every"):
            self._must(getattr(self, name) >= 1, name, "a whole number of at least 1")
        for name in (
            "learning_rate",
            "muon_learning_rate",
            "warmup_steps",
            "weight_decay",
            "puzzle_emb_lr",
            "puzzle_emb_weight_decay",
        ):
            self._must(getattr(self, name) >= 0, name, "0 or more")
        for name in ("grad_clip", "validate_every", "validate_every_seconds", "patience", "checkpoint_every"):
            self._must(getattr(self, name) >= 0, name, "0 (off) or more")
        self._must(self.min_gain >= 0, "min_gain", "0 or more")
        self._must(self.time_limit_seconds >= 0, "time_limit_seconds", "0 (off) or more")
        self._must(0 <= self.min_lr_ratio <= 1, "min_lr_ratio", "0 to 1")
        self._must(0 <= self.ema_decay < 1, "ema_decay", "0 (off) up to, but not including, 1")
        self._must(
            all(0 <= beta < 1 for beta in self.betas),
            "betas",
            "two numbers from 0 up to, but not including, 1",
        )
        if self.sharding == "full" and self.optimizer != "adamw":
            # muon needs whole matrices; adam_atan2 walks whole parameters.
            raise InputError(
                f"optimizer {self.optimizer} with sharding full",
                "adamw, whose update needs one value at a time",
                "add --train.optimizer adamw, or leave --train.sharding out",
            )
        if self.lr_by_time:
            self._must(self.time_limit_seconds > 0, "time_limit_seconds", "more than 0 when lr_by_time is on")

    def _must(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise InputError(f"{name} = {getattr(self, name)}", allowed, f"set {name} to an allowed value")
