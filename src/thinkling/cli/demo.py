"""`thinkling demo`: make data, train a small HRM in minutes, score it on held-out puzzles, show it solving some."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.grid import draw_grid
from thinkling.cli.output import Report
from thinkling.cli.solution_output import in_a_line
from thinkling.data.array_store import MANIFEST, read_split
from thinkling.errors import InputError
from thinkling.puzzles.datasets.sudoku import make_sudoku
from thinkling.puzzles.evaluate import evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.laptop_recipes import by_the_clock
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule
from thinkling.puzzles.recipes import recipe_named
from thinkling.puzzles.train import train_recipe

SECONDS, QUICK_SECONDS = 350.0, 85.0
"""Training time of the demo and of the quick one."""

SHOWN = 2
"""Puzzles solved before the user's eyes."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Make data, train a small HRM on this machine, score it on puzzles it has never seen, and watch it solve some."""

    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """6x6 instead of 9x9: a minute and a half of training."""
    out: Path | None = None
    """The run folder; runs/demo, or runs/demo-quick with --quick."""
    data: Path | None = None
    """Where the data set is, or is made; data/demo, or data/demo-quick with --quick."""
    minutes: float = 0.0
    """Training time (0: 5.8 minutes, or 85 seconds with --quick)."""
    seed: int = 0
    """Seed of the puzzles and of training."""


def run(arguments: Arguments) -> Report:
    """The main job, start to end."""
    if arguments.minutes < 0:
        raise InputError(f"--minutes {arguments.minutes}", "0 or more", "give another --minutes")
    name = "demo-quick" if arguments.quick else "demo"
    out, data = arguments.out or Path("runs") / name, arguments.data or Path("data") / name
    size = 6 if arguments.quick else 9
    if not (data / MANIFEST).exists():
        _say(f"making {size}x{size} Sudokus, each with one solution, in {data} …")
        make_sudoku(
            data, size=size, train=10_000, test=1_000, seed=arguments.seed, processes=os.cpu_count() or 1
        )
    recipe = recipe_named("sudoku-6x6" if arguments.quick else "sudoku-9x9")
    limit = arguments.minutes * 60 or (QUICK_SECONDS if arguments.quick else SECONDS)
    recipe = replace(recipe, train=replace(by_the_clock(recipe.train, limit), seed=arguments.seed))
    _say(f"training for {limit / 60:.1f} minutes in {out} (Ctrl-C saves; the same command goes on) …")
    result = train_recipe(recipe, data, out, resume=True)
    if result.stopped == "signal":
        raise KeyboardInterrupt
    model = load(out)
    return _scored(
        model, Examples(read_split(data, "test"), model.task, augment=False), out, result.train_seconds
    )


def _scored(model: PuzzleModel, test: Examples, out: Path, train_seconds: float) -> Report:
    _say(f"scoring {len(test)} puzzles the model has never seen …")
    limit = model.halting.max_steps
    halting = evaluate(model.network, test, halt_rule("q", model.halting, model.task), max_steps=limit)
    fixed = evaluate(model.network, test, halt_rule("never", model.halting, model.task), max_steps=limit)
    values: dict[str, Any] = {
        "run": str(out),
        "exact_accuracy": halting.exact_accuracy,
        "exact_accuracy_fixed": fixed.exact_accuracy,
        "mean_steps": halting.mean_steps,
        "train_seconds": train_seconds,
        "params": model.params,
        "puzzles": halting.n,
        "examples_per_second": halting.examples_per_second,
        "examples_per_second_fixed": fixed.examples_per_second,
    }
    shown = [_solved(model, test, row) for row in range(min(SHOWN, len(test)))]
    question = model.task.format(test.puzzles.inputs[0])
    text = "\n\n".join(
        [
            *shown,
            f"{halting.n} unseen puzzles: {halting.exact_accuracy:.1%} right with halting on, at "
            f"{halting.mean_steps:.2f} of {limit} steps on average ({halting.examples_per_second:.0f} puzzles/s);\n"
            f"{fixed.exact_accuracy:.1%} with all {limit} steps ({fixed.examples_per_second:.0f} puzzles/s). "
            f"{model.params:,} parameters, {train_seconds:.0f} s of training.",
            f"Try your own:  thinkling solve {out} {question}",
        ]
    )
    return Report(values=values, text=text)


def _solved(model: PuzzleModel, test: Examples, row: int) -> str:
    solution = model.solve(model.task.format(test.puzzles.inputs[row]))
    grid = draw_grid(model.task, test.puzzles.inputs[row], solution.tokens)
    return f"{grid}\n{in_a_line(solution)}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
