"""`thinkling solve model.onnx`: the same without torch, by onnxruntime."""

from __future__ import annotations

from dataclasses import fields

from thinkling.artifacts.hub import fetched
from thinkling.cli.output import Report
from thinkling.cli.solution_output import report_many, report_one
from thinkling.cli.solve import Arguments
from thinkling.errors import InputError
from thinkling.puzzles.onnx_solver import OnnxSolver
from thinkling.puzzles.questions import read_questions

_UNDERSTOOD = (
    "json",
    "run_folder",
    "puzzle",
    "puzzle_id",
    "file",
    "question",
    "task",
    "halt",
    "steps",
    "require_valid",
    "trace",
    "watch",
    "slots",
)
"""Arguments that mean the same for a file as for a run."""
_ITS_OWN = {"device": "cpu", "compute_dtype": "float32"}
"""What a file does anyway may be asked of it."""


def solve(arguments: Arguments) -> Report | int:
    """Solve one puzzle, or those of a CSV file.

    Raises:
        InputError: the file cannot be used, a flag needs the run that it was exported from, or a puzzle does not fit.
    """
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        known = field.name in _UNDERSTOOD or _ITS_OWN.get(field.name) == value
        if not known and value != field.default:
            raise InputError(
                f"--{field.name.replace('_', '-')} {value} with {arguments.run_folder}",
                "a run folder: an exported file holds one segment, in fp32, for the CPU",
                "leave the flag out, or name the run",
            )
    model = OnnxSolver.from_file(fetched(arguments.run_folder), task=arguments.task)
    limit = arguments.steps or None
    if arguments.file is None:
        solution = model.solve(
            arguments.puzzle, halt=arguments.halt, steps=limit, puzzle_name=arguments.puzzle_id
        )
        return report_one(solution, model.task, arguments)
    solutions = model.solve_tokens(
        read_questions(arguments.file, model.task, arguments.question),
        halt=arguments.halt,
        steps=limit,
        slots=arguments.slots,
        puzzle_id=model.task.puzzle_id(arguments.puzzle_id),
    )
    return report_many(solutions, arguments)
