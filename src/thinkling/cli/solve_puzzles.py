"""`thinkling solve` with a run: load the puzzle model, let it think, show what came out."""

from __future__ import annotations

from thinkling.cli.arguments import rows_and_columns
from thinkling.cli.output import Report
from thinkling.cli.solution_output import report_many, report_one
from thinkling.cli.solve import Arguments
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.questions import read_questions
from thinkling.puzzles.search import search
from thinkling.puzzles.search_tree import DEFAULT_BUDGET, DEFAULT_WIDTH
from thinkling.tasks.search_rules import rules_needed


def solve(arguments: Arguments) -> Report | int:
    """Solve one puzzle, or those of a file.

    Raises:
        InputError: the run cannot be loaded, or a puzzle does not fit its task.
    """
    model = load(
        arguments.run_folder,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
        task=arguments.task,
    )
    if arguments.grid:
        model = model.on_grid(*rows_and_columns("--grid", arguments.grid))
    thinking = Thinking(
        halt=arguments.halt,
        steps=arguments.steps or None,
        samples=arguments.samples,
        vary=arguments.vary,
        select=arguments.select,
        seed=arguments.seed,
    )
    if arguments.searches:
        return _search(model, thinking, arguments)
    if arguments.file is None:
        solution = model.solve(arguments.puzzle, puzzle_name=arguments.puzzle_id, thinking=thinking)
        return report_one(solution, model.task, arguments)
    solutions = model.solve_tokens(
        read_questions(arguments.file, model.task, arguments.question),
        slots=arguments.slots,
        puzzle_id=model.task.puzzle_id(arguments.puzzle_id),
        thinking=thinking,
    )
    return report_many(solutions, arguments)


def _search(model: PuzzleModel, thinking: Thinking, arguments: Arguments) -> Report | int:
    task, budget = model.task, arguments.budget or DEFAULT_BUDGET
    rules_needed(task)  # before anything is read
    if arguments.file is not None:
        questions = read_questions(arguments.file, task, arguments.question)
        return report_many(
            search(
                model,
                questions,
                thinking=thinking,
                budget=budget,
                slots=arguments.slots,
                puzzle_id=task.puzzle_id(arguments.puzzle_id),
            ),
            arguments,
        )
    tokens = task.parse(arguments.puzzle)
    task.validate(tokens)
    solutions = search(
        model,
        [tokens],
        thinking=thinking,
        budget=budget,
        slots=max(thinking.samples, DEFAULT_WIDTH),
        trace=True,
        puzzle_id=task.puzzle_id(arguments.puzzle_id),
    )
    return report_one(next(solutions), task, arguments)
