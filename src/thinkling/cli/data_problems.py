"""`thinkling data make problems`: problems in words with worked reasoning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.lm.problem_files import write_problems
from thinkling.tasks.problem import problem_tasks


@dataclass(frozen=True, kw_only=True)
class MakeArguments(CommandArguments):
    """Generate problems for a language model: sums, products, comparisons, sorting, counting, countdown."""

    out: Path
    """The folder to write: train.jsonl, validation.jsonl and test.jsonl."""
    tasks: str = ""
    """Names of the tasks, by comma; all of them where not given."""
    train: int = 20_000
    """Training problems."""
    validation: int = 500
    """Problems to choose by."""
    test: int = 500
    """Problems to report on; no question of theirs is among the others."""
    answers_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave the worked reasoning out."""
    seed: int = 0
    """The same seed gives the same files."""


def make(arguments: MakeArguments) -> dict[str, Any]:
    """Generate a data set.

    Raises:
        InputError: an unknown task, an impossible count, or something else at `out`.
    """
    names = [name.strip() for name in arguments.tasks.split(",") if name.strip()] or list(problem_tasks())
    counts = (arguments.train, arguments.validation, arguments.test)
    sha256 = write_problems(
        arguments.out, names, counts=counts, seed=arguments.seed, reasoning=not arguments.answers_only
    )
    return {
        "dir": str(arguments.out),
        "train": arguments.train,
        "validation": arguments.validation,
        "test": arguments.test,
        "tasks": names,
        "sha256": sha256,
    }
