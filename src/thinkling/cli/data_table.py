"""`thinkling data import table`: the user's own questions and answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments, rows_and_columns
from thinkling.cli.work import progress_bar
from thinkling.errors import InputError
from thinkling.puzzles.datasets.table import import_gym, import_table
from thinkling.tasks.table_plugin import load_plugin


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import questions and answers from CSV or JSONL, or generate them with a reasoning-gym data set."""

    source: Positional[Path | None] = None
    """The file: CSV with a header, or one JSON object a line where it ends in .jsonl. Left out with --gym."""
    out: Path
    """The folder to write."""
    question: str = "question"
    """The column with the questions."""
    answer: str = "answer"
    """The column with the answers."""
    tokens: Literal["characters", "integers"] = "characters"
    """What one position of a sequence holds; integers are separated by blanks or commas."""
    align: Literal["left", "right"] = "left"
    """At which end of the sequence a text stands: right for numbers, whose last digits belong together."""
    length: int = 0
    """Positions of a sequence, the most that a question or an answer may fill; 0: as many as the longest."""
    shape: str | None = None
    """Rows x columns of a grid that every sequence shows, such as 9x9."""
    test: Path | None = None
    """A file of test rows; where not given, a share of SOURCE."""
    test_fraction: float = 0.1
    """The share of the questions to test on where --test is not given."""
    seed: int = 0
    """Chooses which questions are for testing; with --gym also which there are."""
    task: Path | None = None
    """A Python file with symmetries and a checker for these questions; naming it here runs it."""
    gym: str | None = None
    """Generate the rows with this reasoning-gym data set, such as mini_sudoku."""
    count: int = 5000
    """With --gym: how many questions to draw. Equal ones are left out."""


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a data set.

    Raises:
        InputError: a bad row, two rows that contradict each other, a plug-in that fails, or something else at `out`.
    """
    shape = None if arguments.shape is None else rows_and_columns("--shape", arguments.shape)
    if arguments.gym is not None:
        return _generate(arguments, arguments.gym, shape)
    if arguments.source is None:
        raise InputError("neither a file nor --gym", "one of the two", "name the CSV or JSONL file to import")
    return import_table(
        fetched(arguments.source),
        arguments.out,
        question=arguments.question,
        answer=arguments.answer,
        tokens=arguments.tokens,
        align=arguments.align,
        length=arguments.length,
        shape=shape,
        test=arguments.test,
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        plugin=None if arguments.task is None else load_plugin(arguments.task),
    )


def _generate(arguments: ImportArguments, gym: str, shape: tuple[int, int] | None) -> dict[str, Any]:
    for flag, given in (
        ("a file", arguments.source),
        ("--test", arguments.test),
        ("--task", arguments.task),
        ("--tokens integers", arguments.tokens == "integers"),
    ):
        if given:
            next_step = "name --task when you train" if flag == "--task" else "leave one of them out"
            raise InputError(f"{flag} with --gym", "--gym alone: it makes its rows itself", next_step)
    with progress_bar("questions") as progress:
        return import_gym(
            gym,
            arguments.out,
            count=arguments.count,
            align=arguments.align,
            length=arguments.length,
            shape=shape,
            test_fraction=arguments.test_fraction,
            seed=arguments.seed,
            progress=progress,
        )
