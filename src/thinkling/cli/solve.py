"""`thinkling solve RUN PUZZLE`: solve a puzzle, or a CSV file of them as a stream."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import write_json as write_file
from thinkling.cli.arguments import CommandArguments, rows_and_columns
from thinkling.cli.grid import draw_grid
from thinkling.cli.output import Report, write_json
from thinkling.data.csv_tables import read_rows
from thinkling.errors import InputError, UnverifiedError
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel, Solution

WATCH_SECONDS = 0.4
"""Pause between two segments with --watch."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Solve one puzzle, or with --file a CSV file of them, one JSON object a line."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    puzzle: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PUZZLE")] = ""
    """The question in the task's notation: a Sudoku or maze row by row, an ARC grid as JSON."""
    puzzle_id: str = ""
    """For tasks with named puzzles (ARC): which one the question belongs to."""
    grid: str = ""
    """For a maze model with local mixing: the size to use it on, such as 30x30, if it is not the trained one."""
    file: Path | None = None
    """A CSV file with a column question."""
    question: str = "question"
    """With --file: the column with the questions."""
    task: Path | None = None
    """For a table: a Python file with its checker; naming it here runs it."""
    halt: Literal["valid", "q", "never"] | None = None
    """What stops thinking: a valid answer, the model's Q value, or only the limit.

    Where not given: a valid answer if the task can tell one, else the Q value.
    """
    steps: int = 0
    """Limit of segments (0: the trained one)."""
    require_valid: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave with exit code 3 unless every answer is verified."""
    trace: Path | None = None
    """Write what the model thought, segment by segment, to this JSON file."""
    watch: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show how the answer changes from segment to segment."""
    slots: int = 64
    """With --file: puzzles in work at once."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> Report | int:
    """Solve, show, and judge."""
    if bool(arguments.puzzle) == (arguments.file is not None):
        raise InputError(
            "a puzzle and --file" if arguments.puzzle else "neither a puzzle nor --file",
            "one of the two",
            "type a puzzle after RUN, or give --file CSV",
        )
    if arguments.steps < 0:
        raise InputError(f"--steps {arguments.steps}", "0 or more", "give another --steps")
    if arguments.slots < 1:
        raise InputError(f"--slots {arguments.slots}", "1 or more", "give another --slots")
    model = load(
        arguments.run_folder,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
        task=arguments.task,
    )
    if arguments.grid:
        model = model.on_grid(*rows_and_columns("--grid", arguments.grid))
    if arguments.file is not None:
        return _solve_file(model, arguments, arguments.file)
    return _solve_one(model, arguments)


def _solve_one(model: PuzzleModel, arguments: Arguments) -> Report:
    solution = model.solve(
        arguments.puzzle,
        halt=arguments.halt,
        steps=arguments.steps or None,
        puzzle_name=arguments.puzzle_id,
    )
    if arguments.trace is not None:
        _write_trace(arguments.trace, model, solution)
    if arguments.watch and not arguments.json:
        _watch(model, solution)
    if arguments.require_valid and solution.status != "verified":
        if arguments.json:
            write_json(solution.as_json())
        raise UnverifiedError(
            f"no verified answer within {solution.steps} segments: status {solution.status}; allow more with --steps"
        )
    grid = draw_grid(model.task, model.task.parse(solution.question), solution.tokens)
    return Report(values=solution.as_json(), text=f"{grid}\n{in_a_line(solution)}")


def in_a_line(solution: Solution) -> str:
    """Status, steps and halt probability for a person."""
    colour = {"verified": "green", "unverified": "yellow", "unsolved": "red"}[solution.status]
    segments = "1 step" if solution.steps == 1 else f"{solution.steps} steps"
    return (
        f"[{colour}]{solution.status}[/{colour}] after {segments} of thought; "
        f"its own estimate of being right: {solution.q_halt:.3f}"
    )


def _watch(model: PuzzleModel, solution: Solution) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    question = model.task.parse(solution.question)
    before: NDArray[np.integer] = question
    with Live(console=console, auto_refresh=False) as live:
        for number, entry in enumerate(solution.trace, start=1):
            grid = draw_grid(model.task, question, entry.tokens, changed=entry.tokens != before)
            changed = int((entry.tokens != before).sum())
            line = f"step {number}: {changed} cells changed, probability of being right {entry.q_halt:.3f}"
            live.update(Text.from_markup(f"{grid}\n{line}"), refresh=True)
            before = entry.tokens
            if console.is_terminal:
                time.sleep(WATCH_SECONDS)
            else:
                console.print(Text.from_markup(f"{grid}\n{line}"))


def _write_trace(path: Path, model: PuzzleModel, solution: Solution) -> None:
    steps = [entry.as_json() | {"answer": model.task.format(entry.tokens)} for entry in solution.trace]
    try:
        write_file(
            path,
            {
                "question": solution.question,
                **solution.as_json(),
                "task": model.task.settings(),
                "trace": steps,
            },
        )
    except OSError as error:
        raise InputError(
            f"--trace {path}: {error.strerror}", "a file that can be written", "give another path"
        ) from None


def _solve_file(model: PuzzleModel, arguments: Arguments, path: Path) -> int:
    """One JSON object a line, in input order, as the answers come."""
    if arguments.trace is not None or arguments.watch:
        raise InputError("--file with --trace or --watch", "these with a single puzzle", "leave them out")

    def questions() -> Iterator[NDArray[np.uint8]]:
        with closing(read_rows(path, ["question"], question=arguments.question)) as rows:
            for row in rows:
                try:
                    tokens = model.task.parse(row.question)
                    model.task.validate(tokens)
                except InputError as error:
                    raise error.at(f"{path} line {row.line}") from None
                yield tokens

    verified = total = 0
    start = time.perf_counter()
    solutions = model.solve_tokens(
        questions(),
        halt=arguments.halt,
        steps=arguments.steps or None,
        slots=arguments.slots,
        puzzle_id=model.task.puzzle_id(arguments.puzzle_id),
    )
    for solution in solutions:
        write_json(solution.as_json())
        verified += solution.status == "verified"
        total += 1
    seconds = time.perf_counter() - start
    print(
        f"{verified} of {total} verified in {seconds:.1f} s ({total / max(seconds, 1e-9):.0f} puzzles/s)",
        file=sys.stderr,
    )
    if arguments.require_valid and verified < total:
        raise UnverifiedError(
            f"{total - verified} of {total} puzzles without a verified answer; allow more with --steps"
        )
    return 0
