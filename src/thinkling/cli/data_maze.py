"""`thinkling data make|import maze`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.work import cores, progress_bar
from thinkling.errors import InputError
from thinkling.puzzles.datasets.maze import import_maze, make_maze

DEFAULT_SIZE = 30


@dataclass(frozen=True, kw_only=True)
class MakeArguments(CommandArguments):
    """Generate mazes with exactly one shortest path, no two of them equal up to symmetry."""

    out: Path
    """The folder to write."""
    size: int | None = None
    """Rows and columns of a square maze; 30 where no size is given."""
    rows: int | None = None
    """Rows of an oblong maze, given with --columns."""
    columns: int | None = None
    """Columns of an oblong maze."""
    min_length: int | None = None
    """Fewest steps from S to G. Where not given, hard for the size: 110 for 30x30 (as Maze-Hard), 12 for 10x10."""
    max_length: int | None = None
    """Most steps from S to G; no limit where not given."""
    train: int = 1_000
    """Training mazes."""
    test: int = 1_000
    """Test mazes; the same ones whatever --train is."""
    seed: int = 0
    """The same seed gives the same files."""
    processes: int = 0
    """Processes that work at it; 0: one for each core. The result does not depend on it."""


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import mazes from CSV with the columns source,question,answer,rating (the schema of Maze-Hard)."""

    source: Positional[Path]
    """The CSV file; hf://datasets/OWNER/NAME/FILE fetches it."""
    out: Path
    """The folder to write."""
    test: Path | None = None
    """A CSV file of test mazes; where not given, a share of SOURCE."""
    test_fraction: float = 0.1
    """The share of SOURCE to test on where --test is not given."""
    size: int | None = None
    """Rows and columns of a square maze; told from the first one where no size is given."""
    rows: int | None = None
    """Rows of an oblong maze, given with --columns."""
    columns: int | None = None
    """Columns of an oblong maze."""
    seed: int = 0
    """Chooses which mazes are for testing."""


def make(arguments: MakeArguments) -> dict[str, Any]:
    """Generate a data set.

    Raises:
        InputError: impossible settings, or something else at `out`.
    """
    rows, columns = _shape(arguments)
    with progress_bar("mazes") as progress:
        return make_maze(
            arguments.out,
            rows=rows or DEFAULT_SIZE,
            columns=columns or DEFAULT_SIZE,
            min_length=arguments.min_length,
            max_length=arguments.max_length,
            train=arguments.train,
            test=arguments.test,
            seed=arguments.seed,
            processes=cores(arguments.processes),
            progress=progress,
        )


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a data set.

    Raises:
        InputError: a bad row, or something else at `out`.
    """
    rows, columns = _shape(arguments)
    return import_maze(
        fetched(arguments.source),
        arguments.out,
        test=None if arguments.test is None else fetched(arguments.test),
        test_fraction=arguments.test_fraction,
        rows=rows,
        columns=columns,
        seed=arguments.seed,
    )


def _shape(arguments: MakeArguments | ImportArguments) -> tuple[int | None, int | None]:
    """Rows and columns; None where the user gives no size.

    Raises:
        InputError: a size twice, a half one, or one below 1.
    """
    size, rows, columns = arguments.size, arguments.rows, arguments.columns
    for name, value in (("size", size), ("rows", rows), ("columns", columns)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}", "1 or more", "give a larger number")
    if (rows is None) != (columns is None) or (size is not None and rows is not None):
        raise InputError(
            "a size that is given twice" if size is not None else "one of --rows and --columns",
            "--size, or --rows and --columns",
            "give --size N, or --rows R --columns C",
        )
    return (size, size) if size is not None else (rows, columns)
