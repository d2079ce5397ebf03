"""`thinkling data make|import|check`: data sets of puzzles."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.output import Report
from thinkling.errors import InputError
from thinkling.puzzles.dataset_check import check_dataset
from thinkling.puzzles.datasets import import_sudoku, make_sudoku

FAULTS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class MakeArguments(CommandArguments):
    """Generate puzzles with a unique solution and a rating, no two of them equal up to symmetry."""

    kind: Positional[Literal["sudoku"]]
    """What kind of puzzle."""
    out: Path
    """The folder to write."""
    size: Literal[4, 6, 9] = 9
    """Rows of the grid."""
    blanks: str | None = None
    """How many cells are blank: a range such as 30-50, or one number. Newspaper level where not given."""
    train: int = 10_000
    """Training puzzles."""
    test: int = 1_000
    """Test puzzles; for 9x9 none of them shares a solution grid with training, up to symmetry."""
    seed: int = 0
    """The same seed gives the same files."""
    processes: int = 0
    """Processes that work at it; 0: one for each core. The result does not depend on it."""


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import puzzles from CSV with the columns source,question,answer,rating (the Sudoku-Extreme schema)."""

    kind: Positional[Literal["sudoku"]]
    """What kind of puzzle."""
    source: Positional[Path]
    """The CSV file."""
    out: Path
    """The folder to write."""
    test: Path | None = None
    """A CSV file of test puzzles; where not given, a share of SOURCE."""
    test_fraction: float = 0.1
    """The share of SOURCE to test on where --test is not given."""
    size: Literal[4, 6, 9] | None = None
    """Rows of the grid; told from the first row where not given."""
    seed: int = 0
    """Chooses which puzzles are for testing."""
    check_uniqueness: bool = True
    """Prove that each puzzle has only one solution."""
    processes: int = 0
    """Processes that work at it; 0: one for each core."""


@dataclass(frozen=True, kw_only=True)
class CheckArguments(CommandArguments):
    """Check a data set: files, answers, uniqueness, duplicates, overlap of training and test up to symmetry."""

    directory: Positional[Path]
    """The folder."""
    processes: int = 0
    """Processes that prove uniqueness; 0: one for each core."""


def make(arguments: MakeArguments) -> dict[str, Any]:
    """Generate a data set.

    Raises:
        InputError: impossible settings, or something else at `out`.
    """
    with _progress("puzzles") as progress:
        return make_sudoku(
            arguments.out,
            size=arguments.size,
            blanks=None if arguments.blanks is None else parse_range(arguments.blanks),
            train=arguments.train,
            test=arguments.test,
            seed=arguments.seed,
            processes=_processes(arguments.processes),
            progress=progress,
        )


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a data set.

    Raises:
        InputError: a bad row, or something else at `out`.
    """
    return import_sudoku(
        arguments.source,
        arguments.out,
        test=arguments.test,
        test_fraction=arguments.test_fraction,
        size=arguments.size,
        seed=arguments.seed,
        check_uniqueness=arguments.check_uniqueness,
        processes=_processes(arguments.processes),
    )


def check(arguments: CheckArguments) -> Report:
    """Check a data set; the exit code is 2 where there is a fault.

    Raises:
        InputError: no data set, or a damaged file.
    """
    found = check_dataset(arguments.directory, processes=_processes(arguments.processes))
    faults = found["faults"]
    if faults:
        count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        print(
            f"thinkling: {arguments.directory}: {count}, the first: {faults[0]}; allowed: none; "
            "make or import the data set again without these rows",
            file=sys.stderr,
        )
    lines = [f"{name:<12}{found[name]:,}" for name in ("train", "test", "duplicates", "overlap")]
    lines += [f"{'faults':<12}{len(faults):,}", *(f"  {fault}" for fault in faults[:FAULTS_SHOWN])]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"  and {len(faults) - FAULTS_SHOWN:,} more ('--json' lists all)")
    return Report(values=found, text="\n".join(lines), exit_code=2 if faults else 0)


def parse_range(text: str) -> tuple[int, int]:
    """`30-50` or `40` as (fewest, most).

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if match is None:
        raise InputError(f"--blanks {text!r}", "a range such as 30-50, or one number", "give one of these")
    return int(match[1]), int(match[2] or match[1])


def _processes(asked: int) -> int:
    """0 stands for every core this process may use."""
    if asked != 0:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error; nothing where that is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, wanted: bar.update(task, completed=done, total=wanted)


SUBCOMMANDS = {
    "make": Subcommand(arguments=MakeArguments, run=make, summary="generate puzzles with a seed"),
    "import": Subcommand(arguments=ImportArguments, run=bring_in, summary="take puzzles from a CSV file"),
    "check": Subcommand(
        arguments=CheckArguments, run=check, summary="duplicates, overlap, uniqueness; exit 2 on a fault"
    ),
}
