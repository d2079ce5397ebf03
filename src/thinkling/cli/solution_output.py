"""How answers to puzzles are shown, written and judged, whatever has solved them.

Imports no torch: an exported .onnx file is solved without it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import write_json as write_file
from thinkling.cli.grid import draw_grid
from thinkling.cli.output import Report, write_json
from thinkling.cli.solve import Arguments
from thinkling.errors import InputError, UnverifiedError
from thinkling.puzzles.solution import Solution
from thinkling.tasks.task import Task

WATCH_SECONDS = 0.4
"""Pause between two segments with --watch."""


def report_one(solution: Solution, task: Task, arguments: Arguments) -> Report:
    """Show one solution, with its trace where asked for.

    Raises:
        UnverifiedError: --require-valid, and the answer is not verified.
        InputError: the trace cannot be written.
    """
    if arguments.trace is not None:
        _write_trace(arguments.trace, task, solution)
    if arguments.watch and not arguments.json:
        _watch(task, solution)
    if arguments.require_valid and solution.status != "verified":
        if arguments.json:
            write_json(solution.as_json())
        raise UnverifiedError(
            f"no verified answer within {solution.segments} segments: status {solution.status}; "
            f"allow more with {_more(arguments)}"
        )
    grid = draw_grid(task, task.parse(solution.question), solution.tokens)
    return Report(values=solution.as_json(), text=f"{grid}\n{in_a_line(solution)}")


def report_many(solutions: Iterable[Solution], arguments: Arguments) -> int:
    """One JSON object a line, in input order, as the answers come; a summary on standard error.

    Raises:
        UnverifiedError: --require-valid, and an answer is not verified.
    """
    verified = total = 0
    by: Counter[str | None] = Counter()
    start = time.perf_counter()
    for solution in solutions:
        write_json(solution.as_json())
        verified += solution.status == "verified"
        by[solution.solved_by] += 1
        total += 1
    seconds = time.perf_counter() - start
    whose = ""
    if arguments.searches or arguments.samples > 1:
        whose = (
            f" ({by['network']} by the network alone, {by['breadth']} by breadth, {by['search']} by search)"
        )
    print(
        f"{verified} of {total} verified{whose} in {seconds:.1f} s ({total / max(seconds, 1e-9):.0f} puzzles/s)",
        file=sys.stderr,
    )
    if arguments.require_valid and verified < total:
        raise UnverifiedError(
            f"{total - verified} of {total} puzzles without a verified answer; allow more with {_more(arguments)}"
        )
    return 0


def _more(arguments: Arguments) -> str:
    """Which flag lets a puzzle cost more."""
    return "--budget" if arguments.searches else "--steps"


def in_a_line(solution: Solution) -> str:
    """Status, steps and halt probability for a person."""
    colour = {"verified": "green", "unverified": "yellow", "unsolved": "red"}[solution.status]
    segments = "1 step" if solution.steps == 1 else f"{solution.steps} steps"
    if solution.samples > 1:
        segments += f" ({solution.segments} in up to {solution.samples} chains)"
    return (
        f"[{colour}]{solution.status}[/{colour}] after {segments} of thought; "
        f"its own estimate of being right: {solution.q_halt:.3f}{_of_search(solution)}"
    )


def _of_search(solution: Solution) -> str:
    """What a search has added to it, for a person."""
    ended = solution.as_json().get("search")
    if ended is None or solution.solved_by in ("network", "breadth"):
        return ""
    says = {
        "answered": "that was wrong, the answer is the search's",
        "no_answer": "the search proves that there is no answer",
        "budget": "the search has spent its budget",
    }
    return f"; {says[ended]}, {solution.segments} segments in all"


def _watch(task: Task, solution: Solution) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    question = task.parse(solution.question)
    before: NDArray[np.integer] = question
    with Live(console=console, auto_refresh=False) as live:
        for number, entry in enumerate(solution.trace, start=1):
            grid = draw_grid(task, question, entry.tokens, changed=entry.tokens != before)
            changed = int((entry.tokens != before).sum())
            line = f"step {number}: {changed} cells changed, probability of being right {entry.q_halt:.3f}"
            live.update(Text.from_markup(f"{grid}\n{line}"), refresh=True)
            before = entry.tokens
            if console.is_terminal:
                time.sleep(WATCH_SECONDS)
            else:
                console.print(Text.from_markup(f"{grid}\n{line}"))


def _write_trace(path: Path, task: Task, solution: Solution) -> None:
    steps = [entry.as_json() | {"answer": task.format(entry.tokens)} for entry in solution.trace]
    try:
        write_file(
            path,
            {
                "question": solution.question,
                **solution.as_json(),
                "task": task.settings(),
                "trace": steps,
            },
        )
    except OSError as error:
        raise InputError(
            f"--trace {path}: {error.strerror}", "a file that can be written", "give another path"
        ) from None
