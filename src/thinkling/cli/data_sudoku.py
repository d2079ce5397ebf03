"""`thinkling data make|import sudoku` and `thinkling data make sudoku-levels`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.work import cores, progress_bar
from thinkling.errors import InputError
from thinkling.puzzles.datasets.sudoku import import_sudoku, make_sudoku
from thinkling.puzzles.datasets.sudoku_levels import make_levels


@dataclass(frozen=True, kw_only=True)
class MakeArguments(CommandArguments):
    """Generate puzzles with a unique solution and a rating, no two of them equal up to symmetry."""

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
class LevelsArguments(CommandArguments):
    """Mix the 9x9 puzzles of CSV files with easier copies of them and with generated ones, for a curriculum."""

    sources: Positional[tuple[Path, ...]]
    """CSV files with the columns source,question,answer,rating; hf://datasets/OWNER/NAME/FILE fetches one."""
    test: Path
    """A CSV file of test puzzles; what gives them away is left out of training."""
    out: Path
    """The folder to write."""
    generated: int = 10_000
    """Puzzles to generate, with 30 to 54 blanks."""
    eased: int = 15_000
    """Easier copies of puzzles of the files: up to 20 of their blanks are filled in."""
    held_out: int = 500
    """Puzzles of the files that come last and have no easier copy: a recipe's validation_size holds them out."""
    seed: int = 0
    """The same seed gives the same files."""
    processes: int = 0
    """Processes that generate; 0: one for each core. The result does not depend on it."""


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import puzzles from CSV with the columns source,question,answer,rating (the Sudoku-Extreme schema)."""

    source: Positional[Path]
    """The CSV file; hf://datasets/OWNER/NAME/FILE fetches it."""
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


def make(arguments: MakeArguments) -> dict[str, Any]:
    """Generate a data set.

    Raises:
        InputError: impossible settings, or something else at `out`.
    """
    with progress_bar("puzzles") as progress:
        return make_sudoku(
            arguments.out,
            size=arguments.size,
            blanks=None if arguments.blanks is None else parse_range(arguments.blanks),
            train=arguments.train,
            test=arguments.test,
            seed=arguments.seed,
            processes=cores(arguments.processes),
            progress=progress,
        )


def make_of_levels(arguments: LevelsArguments) -> dict[str, Any]:
    """Mix a data set of many levels.

    Raises:
        InputError: a bad row, impossible settings, or something else at `out`.
    """
    with progress_bar("puzzles") as progress:
        return make_levels(
            [fetched(source) for source in arguments.sources],
            fetched(arguments.test),
            arguments.out,
            generated=arguments.generated,
            eased=arguments.eased,
            held_out=arguments.held_out,
            seed=arguments.seed,
            processes=cores(arguments.processes),
            progress=progress,
        )


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a data set.

    Raises:
        InputError: a bad row, or something else at `out`.
    """
    return import_sudoku(
        fetched(arguments.source),
        arguments.out,
        test=None if arguments.test is None else fetched(arguments.test),
        test_fraction=arguments.test_fraction,
        size=arguments.size,
        seed=arguments.seed,
        check_uniqueness=arguments.check_uniqueness,
        processes=cores(arguments.processes),
    )


def parse_range(text: str) -> tuple[int, int]:
    """`30-50` or `40` as (fewest, most).

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if match is None:
        raise InputError(f"--blanks {text!r}", "a range such as 30-50, or one number", "give one of these")
    return int(match[1]), int(match[2] or match[1])
