"""Benchmarks of puzzle models: how near training is to the hardware's rate, and what adaptive halting saves.

They measure wall-clock time: run them on a machine that does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch

from thinkling.artifacts.provenance import hardware
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.nn.fused import fault_on
from thinkling.nn.precision import pick_device, resolve_dtype
from thinkling.optim.sign_sgd import SignSGD
from thinkling.puzzles.cost import cost
from thinkling.puzzles.evaluate import evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.puzzle_model import PuzzleModel, build, count_params, halt_rule
from thinkling.puzzles.recipes import recipe_named
from thinkling.puzzles.train import architecture
from thinkling.tasks.sudoku import Sudoku
from thinkling.thinking.halting import HaltRuleName
from thinkling.training.compilation import check_compiler
from thinkling.training.config import TrainConfig
from thinkling.training.speed import speeds_of, training_loop

PublishedSize = Literal["hrm", "trm-mlp", "trm-attention"]
PUBLISHED_SIZES: tuple[PublishedSize, ...] = ("hrm", "trm-mlp", "trm-attention")


def bench_training(
    sizes: tuple[PublishedSize, ...] = PUBLISHED_SIZES,
    *,
    batch_size: int = 16,
    steps: int = 8,
    device: str = "auto",
    compile: bool = False,  # the name of the setting
) -> dict[str, Any]:
    """Training speed of the published sizes on 9x9 Sudoku-shaped data, beside a plain loop of the same model.

    A step is everything the trainer does: refill, forward, target pass, backward, gradient norm, optimisers. The share
    is necessary operations (see `cost`) over the matrix product rate.

    Args:
        sizes: which models.
        batch_size: slots.
        steps: measured steps of each loop, after two of warm-up.
        device: auto, cpu, cuda or mps.
        compile: measure the compiled segment too, as under `train.compile`.

    Returns:
        for each model the speed as trained by default, under "plain" that of a plain loop, under "unfused" that without
        fused kernels where the default has them (`fused` says so), and under "compiled" that with a compiled segment;
        `times_plain` is a speed as a multiple of the plain loop's.

    Raises:
        InputError: nothing to measure, or nothing can be compiled here.
    """
    if batch_size < 1 or steps < 1:
        raise InputError(
            f"batch size {batch_size} and {steps} steps", "1 or more of each", "give larger numbers"
        )
    started = time.perf_counter()
    place = pick_device(device)
    if compile:
        check_compiler(place)
    dtype = resolve_dtype("auto", place)
    models = {size: _bench_size(size, batch_size, steps, place, dtype, compile) for size in sizes}
    return {
        "batch_size": batch_size,
        "seq_len": Sudoku(9).seq_len,
        "dtype": str(dtype).removeprefix("torch."),
        "fused": fault_on(place) is None,
        "models": models,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _bench_size(
    size: PublishedSize,
    batch_size: int,
    steps: int,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool,
) -> dict[str, Any]:
    recipe = recipe_named(f"{size}-sudoku-extreme")
    examples = Examples(_random_boards(1000), Sudoku(9), augment=True)

    def objective() -> PuzzleObjective:
        # A new one for each loop: all start from the same weights.
        model = build(architecture(recipe), asdict(recipe.model)).to(device)
        return PuzzleObjective(
            model, examples, examples, halting=recipe.halting, loss=recipe.loss, batch_size=batch_size, seed=0
        )

    ours = objective()
    loops = {
        "plain": _plain_loop(objective(), recipe.train),
        "default": training_loop(ours, recipe.train),
    }
    if fault_on(device) is None:
        loops["unfused"] = training_loop(objective(), replace(recipe.train, fused="off"))
    if compiled:
        with_program = objective()
        with_program.model.compile_segment()
        loops["compiled"] = training_loop(with_program, recipe.train)
    found = speeds_of(
        loops,
        examples=batch_size,
        flops=cost(ours.model, recipe.halting.learning, batch_size).training_flops * batch_size,
        steps=steps,
        device=device,
        dtype=dtype,
    )
    for speed in found.values():
        speed["times_plain"] = speed.pop("times_first")
    return {"params": count_params(ours.model), **found.pop("default"), **found}


def _plain_loop(objective: PuzzleObjective, config: TrainConfig) -> Callable[[int], None]:
    """A step as an ordinary loop makes it, of the same model, examples and loss.

    Every use of a weight casts it anew, PyTorch's AdamW is used as it comes, and the loss is read on the host in each
    step. Gradient norm and average are left out.
    """
    model = objective.model
    model.cast_once = False
    dense = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )
    sparse = SignSGD.of(model, lr=config.puzzle_emb_lr, weight_decay=config.puzzle_emb_weight_decay)
    state = objective.fresh_state()

    def step(number: int) -> None:
        nonlocal state
        dense.zero_grad()
        state, loss = objective.loss(model, state, number)
        (loss.total / loss.count).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        dense.step()
        sparse.step()
        loss.total.item()

    return step


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
