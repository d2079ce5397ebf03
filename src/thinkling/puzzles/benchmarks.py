"""Benchmarks of puzzle models: how near training is to the hardware's rate, and what adaptive halting saves.

They measure wall-clock time: run them on a machine that does nothing else.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import torch

from thinkling.artifacts.provenance import hardware
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.nn.precision import pick_device, resolve_dtype
from thinkling.puzzles.cost import cost
from thinkling.puzzles.evaluate import evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.puzzle_model import PuzzleModel, build, count_params, halt_rule
from thinkling.puzzles.recipes import recipe_named
from thinkling.puzzles.train import architecture
from thinkling.tasks.sudoku import Sudoku
from thinkling.thinking.halting import HaltRuleName
from thinkling.training.speed import training_speed

PublishedSize = Literal["hrm", "trm-mlp", "trm-attention"]
PUBLISHED_SIZES: tuple[PublishedSize, ...] = ("hrm", "trm-mlp", "trm-attention")


def bench_training(
    sizes: tuple[PublishedSize, ...] = PUBLISHED_SIZES,
    *,
    batch_size: int = 16,
    steps: int = 8,
    device: str = "auto",
) -> dict[str, Any]:
    """Training speed of the published sizes on 9x9 Sudoku-shaped data.

    A step is everything the trainer does: refill, forward, target pass, backward, gradient norm, optimisers. The share
    is necessary operations (see `cost`) over the matrix product rate.

    Args:
        sizes: which models.
        batch_size: slots.
        steps: measured steps, after two of warm-up.
        device: auto, cpu, cuda or mps.
    """
    if batch_size < 1 or steps < 1:
        raise InputError(
            f"batch size {batch_size} and {steps} steps", "1 or more of each", "give larger numbers"
        )
    started = time.perf_counter()
    place = pick_device(device)
    dtype = resolve_dtype("auto", place)
    models = {size: _bench_size(size, batch_size, steps, place, dtype) for size in sizes}
    return {
        "batch_size": batch_size,
        "seq_len": Sudoku(9).seq_len,
        "dtype": str(dtype).removeprefix("torch."),
        "models": models,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _bench_size(
    size: PublishedSize, batch_size: int, steps: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    recipe = recipe_named(f"{size}-sudoku-extreme")
    model = build(architecture(recipe), asdict(recipe.model)).to(device)
    examples = Examples(_random_boards(1000), Sudoku(9), augment=True)
    objective = PuzzleObjective(
        model, examples, examples, halting=recipe.halting, loss=recipe.loss, batch_size=batch_size, seed=0
    )
    flops = cost(model, recipe.halting.learning, batch_size).training_flops * batch_size
    speed = training_speed(objective, recipe.train, flops=flops, steps=steps, dtype=dtype)
    return {"params": count_params(model)} | speed


def _random_boards(count: int) -> PuzzleSet:
    """Random tokens in the shape of Sudoku: speed does not depend on what they mean."""
    draw = np.random.default_rng(0)
    task = Sudoku(9)
    boards = draw.integers(1, task.vocab_size, (2, count, task.seq_len), dtype=np.uint8)
    return PuzzleSet.of_puzzles(boards[0], np.maximum(boards[1], 2), vocab_size=task.vocab_size)


def bench_adaptive(
    model: PuzzleModel, examples: Examples, *, slots: int = 64, repeats: int = 3
) -> dict[str, Any]:
    """Fixed steps against adaptive halting on the same model and puzzles, in one run.

    Args:
        model: the model.
        examples: the puzzles.
        slots: puzzles in work at once.
        repeats: rounds; the best time of each rule counts.
    """
    started = time.perf_counter()
    rules: tuple[HaltRuleName, ...] = ("never", "q", "valid")
    best: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for name in rules:
            rule = halt_rule(name, model.halting, model.task)
            score = evaluate(model.network, examples, rule, max_steps=model.halting.max_steps, slots=slots)
            if name not in best or score.seconds < best[name]["seconds"]:
                best[name] = asdict(score)
    fixed = best["never"]
    speedup = {name: round(fixed["seconds"] / best[name]["seconds"], 2) for name in ("q", "valid")}
    lost = {name: round(fixed["exact_accuracy"] - best[name]["exact_accuracy"], 4) for name in ("q", "valid")}
    return {
        "speedup": speedup,
        "accuracy_lost": lost,
        "fixed": best["never"],
        "halting_by_q": best["q"],
        "halting_by_validity": best["valid"],
        "max_steps": model.halting.max_steps,
        "params": model.params,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }
