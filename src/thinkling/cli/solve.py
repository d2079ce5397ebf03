"""`thinkling solve RUN PUZZLE`: solve a puzzle, or a CSV file of them as a stream.

Here are only the arguments and the choice between a run and an exported .onnx file, so that the latter is
solved without importing torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from thinkling.artifacts.run_folder import shipped_run
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report
from thinkling.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Solve one puzzle, or with --file a CSV file of them, one JSON object a line."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder, an exported .onnx file, or the name of a model that comes with the package: sudoku."""
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
    samples: int = 1
    """Chains of thought for each puzzle."""
    vary: Literal["symmetry", "init", "noise"] = "symmetry"
    """What chains differ by: symmetric copies of the puzzle, where the carry begins, or noise on its way."""
    select: Literal["q", "vote", "residual", "first", "valid"] | None = None
    """Which chain to believe: the best Q value, most votes, the smallest residual, the first to stop, or a valid one.

    Where not given: a valid one if the task can tell one, else the best Q value.
    """
    seed: int = 0
    """Of symmetric copies and noise."""
    search: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Where the model's answer is wrong: branch on the least certain cell, go back on contradiction, and end with a
    verified answer, with a proof that there is none, or with --budget spent. For Sudoku and mazes; a model that comes
    with the package does so without being told."""
    no_search: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The model's own answer, also from a model that comes with the package."""
    budget: int | None = None
    """With --search: segments that a puzzle may cost (4096 where not given)."""
    require_valid: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave with exit code 3 unless every answer is verified."""
    trace: Path | None = None
    """Write what the model thought, segment by segment, to this JSON file."""
    watch: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show how the answer changes from segment to segment."""
    slots: int = 64
    """With --file: chains in work at once; a puzzle has one or more."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""

    @property
    def searches(self) -> bool:
        """Whether a wrong answer is searched on."""
        return self.search or (shipped_run(self.run_folder) is not None and not self.no_search)


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
    if arguments.samples < 1:
        raise InputError(f"--samples {arguments.samples}", "1 or more", "give another --samples")
    if arguments.search and arguments.no_search:
        raise InputError("--search and --no-search", "one of the two", "leave one out")
    check_budget(arguments.budget, arguments.searches)
    if arguments.slots < 1:
        raise InputError(f"--slots {arguments.slots}", "1 or more", "give another --slots")
    if arguments.file is not None and (arguments.trace is not None or arguments.watch):
        raise InputError("--file with --trace or --watch", "these with a single puzzle", "leave them out")
    if arguments.run_folder.suffix == ".onnx":
        from thinkling.cli.solve_onnx import solve
    else:
        from thinkling.cli.solve_puzzles import solve
    return solve(arguments)


def check_budget(budget: int | None, searches: bool) -> None:
    """Refuses a --budget below 1, or without a search.

    Raises:
        InputError: either.
    """
    if budget is not None and (budget < 1 or not searches):
        raise InputError(
            f"--budget {budget}" + ("" if searches else " without --search"),
            "1 or more segments, with --search",
            "give another --budget, or leave it out",
        )
