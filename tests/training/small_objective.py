"""A small real objective for tests of the trainer: slots with a carry, a sparse table, data by (seed, item).

Also a script, for tests that kill it or run it under torchrun:
    python small_objective.py RUN [--resume] [--steps N] [--die-at RENAME] [--pause SECONDS] [--batch N]

Shapes: B local slots, D width.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from thinkling.data.sampling import uniforms
from thinkling.errors import ThinklingError
from thinkling.nn.sparse_embedding import SparseEmbedding
from thinkling.training.config import TrainConfig
from thinkling.training.distributed import process_group
from thinkling.training.objective import Loss, Shard
from thinkling.training.trainer import TrainResult, train

WIDTH, STEPS, EXAMPLES = 6, 3, 11
CONFIG = TrainConfig(
    steps=60,
    learning_rate=1e-2,
    warmup_steps=5,
    ema_decay=0.9,
    grad_clip=1.0,
    validate_every=20,
    checkpoint_every=10,
    log_every=5,
)
ALONE = Shard()


class SmallModel(nn.Module):
    """carry [B, D], x [B, D], ids [B] -> new carry [B, D], answer [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * WIDTH, WIDTH)
        self.answer = nn.Linear(WIDTH, 1)
        self.table = SparseEmbedding(EXAMPLES, WIDTH)
        self.register_buffer("start", torch.full((WIDTH,), 0.1))

    def forward(self, carry: Tensor, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        carry = torch.tanh(self.mix(torch.cat([carry, x + self.table(ids)], -1)))
        return carry.detach(), self.answer(carry)[:, 0]


@dataclass(frozen=True)
class Slots:
    items: Tensor
    """[B] number of the item in each slot."""
    ages: Tensor
    """[B] steps this item has had."""
    carry: Tensor
    """[B, D]."""


class SmallObjective:
    """Learns the sum of an item's numbers over several steps with a carry."""

    validation_metric = "closeness"
    counted = "examples"
    held_out = True

    def __init__(self, shard: Shard = ALONE, batch_size: int = 8, seed: int = 0, size: int = WIDTH) -> None:
        torch.manual_seed(seed)
        self.model = SmallModel()
        self.shard, self.batch_size, self.seed, self.size = shard, batch_size, seed, size
        self.poison: Callable[[int], bool] = lambda step: False
        self.at_step: Callable[[int], object] = lambda step: None
        self.restarts = 0
        self.scores: list[float] = []

    def fresh_state(self) -> Slots:
        items = torch.arange(self.batch_size)[self.shard.local(self.batch_size)]
        return Slots(items, torch.zeros_like(items), self.model.start.expand(len(items), WIDTH).clone())

    def _data(self, items: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(uniforms(self.seed, items.numpy().astype(np.int64), WIDTH)).float()
        return x, x.sum(-1) / WIDTH

    def loss(self, forward, state: Slots, step: int) -> tuple[Slots, Loss]:
        self.at_step(step)
        x, y = self._data(state.items)
        carry, answer = forward(state.carry, x, state.items % EXAMPLES)
        total = ((answer - y) ** 2).sum()
        if self.poison(step):
            total = total * float("nan")
        state = self._refilled(replace(state, carry=carry, ages=state.ages + 1), state.ages + 1 >= STEPS)
        count = torch.tensor(float(len(y)))
        near = ((answer - y).abs() < 0.1).sum()
        return state, Loss(total, count, {"exact_accuracy": (near, count)})

    def _refilled(self, state: Slots, done: Tensor) -> Slots:
        return Slots(
            torch.where(done, state.items + self.batch_size, state.items),
            torch.where(done, 0, state.ages),
            torch.where(done[:, None], self.model.start, state.carry),
        )

    def state_tensors(self, state: Slots) -> dict[str, Tensor]:
        return {"items": state.items, "ages": state.ages, "carry": state.carry, "old": state.ages > 1}

    def restore_state(self, tensors) -> Slots:
        assert torch.equal(tensors["old"], tensors["ages"] > 1)
        return Slots(tensors["items"], tensors["ages"], tensors["carry"])

    def restarted_state(self, state: Slots) -> Slots:
        self.restarts += 1
        return self._refilled(state, torch.ones_like(state.items, dtype=torch.bool))

    def validate(self) -> dict[str, float]:
        assert not self.model.training
        x, y = self._data(torch.arange(1000, 1032))
        carry = self.model.start.expand(32, WIDTH)
        for _ in range(STEPS):
            carry, answer = self.model(carry, x, torch.zeros(32, dtype=torch.long))
        self.scores.append(1 - (answer - y).abs().mean().item())
        return {"closeness": self.scores[-1]}

    def describe(self) -> dict:
        model = {"size": self.size}
        return {"product": "tests", "architecture": "small", "model": model, "task": {"name": "sum"}}

    def write_files(self, folder: Path) -> None:
        """Nothing but config and weights."""


def run(
    path: Path, shard: Shard = ALONE, *, objective: SmallObjective | None = None, **changes
) -> TrainResult:
    """Train the small objective; `changes` are fields of the config, or arguments of `train`."""
    arguments = {key: changes.pop(key) for key in ("resume", "data_sha256") if key in changes}
    batch_size = changes.pop("batch_size", 8)
    objective = objective or SmallObjective(shard, batch_size, changes.get("seed", 0))
    return train(objective, replace(CONFIG, **changes), path, quiet=True, **arguments)


def _die_at(operation: int) -> None:
    """SIGKILL this process at its n-th rename, which is in the middle of a save."""
    left = [operation]

    def deadly(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.replace, os.rename = deadly(os.replace), deadly(os.rename)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=CONFIG.steps)
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.die_at:
        _die_at(given.die_at)
    with process_group() as shard:
        objective = SmallObjective(shard, given.batch)
        objective.at_step = lambda step: time.sleep(given.pause)
        try:
            result = run(given.run, objective=objective, resume=given.resume, steps=given.steps)
        except ThinklingError as error:
            raise SystemExit(f"{error.exit_code}: {error}") from None
        if shard.rank == 0:
            print(json.dumps({"step": result.step, "stopped": result.stopped}))


if __name__ == "__main__":
    main()
