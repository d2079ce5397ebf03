"""A small pre-training run whose model is divided over the processes of torchrun: for the tests, and as a script.

python sharded_pretrain.py OUT CORPUS SETTINGS, the settings being those of `small_run` as a JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from small_pretrain import short_recipe

from thinkling.lm.objective import NextTokenObjective
from thinkling.lm.pretrain import train_recipe
from thinkling.training.objective import Loss
from thinkling.training.trainer import TrainResult


def small_run(
    out: Path,
    corpus: Path,
    *,
    steps: int = 8,
    sharding: str = "full",
    resume: bool = False,
    checkpointing: bool = False,
    log_every: int = 1,
) -> TrainResult:
    """With everything that has to work on parts: accumulation, clipping, an average, validations on the way."""
    recipe = short_recipe(
        steps,
        accumulation=2,
        optimizer="adamw",
        learning_rate=1e-3,
        min_lr_ratio=1.0,  # so that the first steps of a longer run are those of a shorter one
        ema_decay=0.9,
        grad_clip=0.5,
        validate_every=3,
        checkpoint_every=4,
        log_every=log_every,
        sharding=sharding,
    )
    return train_recipe(replace(recipe, checkpointing=checkpointing), [corpus], out, resume=resume)


def poisoned(parts: list[int]) -> Callable[..., tuple[None, Loss]]:
    """A loss whose gradient, but not whose value, is infinite in these parts of steps on the last rank only."""
    real = NextTokenObjective.loss

    def loss(self: NextTokenObjective, forward: Any, state: None, step: int) -> tuple[None, Loss]:
        _, found = real(self, forward, state, step)
        if step in parts and self.shard.rank == self.shard.world_size - 1:
            total = found.total
            total.register_hook(lambda gradient: gradient * torch.inf)
        return None, found

    return loss


if __name__ == "__main__":
    settings: dict[str, Any] = json.loads(sys.argv[3])
    torch.set_num_threads(1)
    NextTokenObjective.loss = poisoned(settings.pop("poison", []))  # type: ignore[method-assign]  # a test's
    small_run(Path(sys.argv[1]), Path(sys.argv[2]), **settings)
