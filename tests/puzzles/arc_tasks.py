"""Small ARC tasks made up for the tests, in the form of the competitions' files, and models for them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thinkling.data.batch import PuzzleBatch
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.tasks.arc import Arc
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.halting import HaltingConfig


def made_tasks(names: str, seed: int = 0, tests: int = 1, side: int = 5) -> dict[str, Any]:
    """Tasks whose answer is the question itself: {name: {"train": [...], "test": [...]}}, answers included."""
    generator = np.random.default_rng(seed)

    def pair() -> dict[str, Any]:
        grid = generator.integers(0, 10, generator.integers(2, side + 1, 2)).tolist()
        return {"input": grid, "output": grid}

    return {
        name: {"train": [pair() for _ in range(3)], "test": [pair() for _ in range(tests)]}
        for name in names.split()
    }


def write_competition(folder: Path, name: str, tasks: dict[str, Any]) -> Path:
    """`arc-agi_NAME_challenges.json` and its solutions."""
    folder.mkdir(parents=True, exist_ok=True)
    challenges = {
        key: {**task, "test": [{"input": pair["input"]} for pair in task["test"]]}
        for key, task in tasks.items()
    }
    solutions = {key: [pair["output"] for pair in task["test"]] for key, task in tasks.items()}
    path = folder / f"arc-agi_{name}_challenges.json"
    path.write_text(json.dumps(challenges), encoding="utf-8")
    (folder / f"arc-agi_{name}_solutions.json").write_text(json.dumps(solutions), encoding="utf-8")
    return path


class _Nap(nn.Module):
    """What a slow model does between two looks at the clock."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.005)
        return x


class Copier(nn.Module):
    """Answers every question with the question itself, at once, and remembers what it was told."""

    def __init__(self, ids: int, slow: float = 0.0) -> None:
        super().__init__()
        self.puzzle_emb = nn.Module()
        self.puzzle_emb.weights = torch.zeros(ids, 1)
        self.compute_dtype = torch.float32
        self.told: list[int] = []
        self.slow = slow
        self.blocks = nn.Sequential(_Nap())

    def fresh_carry(self, batch_size: int) -> Carry:
        """A carry without content."""
        empty = torch.zeros(batch_size, 1, 1)
        return Carry(
            z_H=empty,
            z_L=empty,
            steps=torch.zeros(batch_size, dtype=torch.int32),
            halted=torch.ones(batch_size, dtype=torch.bool),
        )

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        """One segment."""
        end = time.monotonic() + self.slow * len(batch.inputs)
        while time.monotonic() < end:
            self.blocks(carry.z_H)
        self.told += batch.puzzle_ids.tolist()
        count = len(batch.inputs)
        logits: Tensor = nn.functional.one_hot(batch.inputs, 12).float()
        carry = Carry(
            z_H=carry.z_H, z_L=carry.z_L, steps=carry.steps + 1, halted=torch.zeros(count, dtype=torch.bool)
        )
        sure = torch.full((count,), 5.0)
        return carry, SegmentOutput(logits=logits, q_halt=sure, q_continue=-sure)


def copier(canvas: int, names: list[str], slow: float = 0.0) -> PuzzleModel:
    """A model around `Copier`."""
    network: Any = Copier(len(names), slow)
    task = Arc(canvas=canvas, augmentations="on_the_fly", identifiers=names)
    return PuzzleModel(network, task, HaltingConfig(max_steps=4), {}, names)
