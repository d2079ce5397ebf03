"""`thinkling eval RUN --data DATA`: score a model. What the run is decides which settings there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli import eval_benchmark, eval_lm, eval_text
from thinkling.cli.arguments import CommandArguments, rows_and_columns
from thinkling.cli.clock import elapsed
from thinkling.cli.output import Report
from thinkling.data.array_store import read_split
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.benchmarks.registry import is_benchmark
from thinkling.models import product_of
from thinkling.puzzles.arc_evaluate import SUBMISSION, ArcEvaluation, evaluate_arc
from thinkling.puzzles.arc_questions import TaskIdMode, is_arc
from thinkling.puzzles.datasets.csv_puzzles import read_puzzle_csv
from thinkling.puzzles.datasets.table_recode import read_table_split
from thinkling.puzzles.deadline import EXIT_CODES, Deadline
from thinkling.puzzles.evaluate import DEFAULT_SLOTS, evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule
from thinkling.tasks.table import Table
from thinkling.thinking_bert.load import is_classifier


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Score a run on the test puzzles of a data set, or on a CSV file with questions and answers."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    data: Path
    """A data set folder (also hf://datasets/OWNER/NAME), or a CSV file with the columns question and answer."""
    split: Literal["test", "train"] = "test"
    """Which puzzles of a data set folder."""
    question: str = "question"
    """For a CSV file: the column with the questions."""
    answer: str = "answer"
    """For a CSV file: the column with the answers."""
    task: Path | None = None
    """For a table: a Python file with its checker; naming it here runs it."""
    grid: str = ""
    """For a maze model with local mixing: the size to use it on, such as 30x30, if it is not the trained one."""
    limit: int = 0
    """Score only the first so many puzzles (0: all)."""
    steps: int = 0
    """Limit of segments (0: the trained one)."""
    halt: Literal["q", "valid", "never"] = "q"
    """What stops a puzzle: the model's Q value, a valid answer, or only the limit."""
    threshold: float | None = None
    """For --halt q: least probability of being right; the model's own setting where not given."""
    confirmations: int | None = None
    """For --halt q: further segments in a row that must agree; the model's own setting where not given."""
    slots: int = DEFAULT_SLOTS
    """Puzzles in work at once."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""
    time_limit: float | None = None
    """End within so many seconds from the start of the command, with what is answered by then."""
    augmentations: int | None = None
    """ARC: augmentations of each task to vote over, besides the task itself; all that there are where not given."""
    task_id: TaskIdMode = "correct"
    """ARC: which puzzle id the model is told: the task's own, the blank one, or another task's."""
    submission: Path | None = None
    """ARC: the submission file to write; submission.json in the run folder where not given (or here, where RUN is
    no folder)."""


def defaults(words: Sequence[str]) -> CommandArguments | None:
    """The arguments that fit the run that a word names; where none does, those for the benchmark that is asked for, or
    for puzzles."""
    task = _task(words)
    for word in words:
        product = "" if word.startswith("-") else product_or_nothing(word)
        if product == "thinking_bert":
            kind = eval_text.ClassifierArguments if is_classifier(word) else eval_text.TextArguments
            return kind(run_folder=tyro.MISSING, data=tyro.MISSING)
        if product == "lm" and task is None:
            return eval_lm.LanguageArguments(run_folder=tyro.MISSING, data=tyro.MISSING)
        if product == "lm":
            return eval_benchmark.BenchmarkArguments(run_folder=tyro.MISSING, task=tyro.MISSING)
        if product:
            return None
    if task is not None and is_benchmark(task):
        return eval_benchmark.BenchmarkArguments(run_folder=tyro.MISSING, task=tyro.MISSING)
    return None


def _task(words: Sequence[str]) -> str | None:
    """What follows --task."""
    for place, word in enumerate(words):
        if word.startswith("--task="):
            return word.removeprefix("--task=")
        if word == "--task":
            return words[place + 1] if place + 1 < len(words) else ""
    return None


def product_or_nothing(word: str) -> str:
    """The product of the run that a word on the command line names; empty where it names none."""
    try:
        return product_of(word)
    except ThinklingError:
        return ""


def run(
    arguments: Arguments
    | eval_text.TextArguments
    | eval_text.ClassifierArguments
    | eval_lm.LanguageArguments
    | eval_benchmark.BenchmarkArguments,
) -> Report | dict[str, Any]:
    """Score and return the contract's keys."""
    if isinstance(arguments, Arguments):
        return _run_puzzles(arguments)
    if isinstance(arguments, eval_lm.LanguageArguments):
        return eval_lm.run(arguments)
    if isinstance(arguments, eval_benchmark.BenchmarkArguments):
        return eval_benchmark.run(arguments)
    return eval_text.run(arguments)


def _run_puzzles(arguments: Arguments) -> Report:
    for name in ("limit", "steps", "augmentations"):
        if (getattr(arguments, name) or 0) < 0:
            raise InputError(f"--{name} {getattr(arguments, name)}", "0 or more", f"give another --{name}")
    if arguments.slots < 1:
        raise InputError(f"--slots {arguments.slots}", "1 or more", "give another --slots")
    if arguments.time_limit is not None and arguments.time_limit <= 0:
        raise InputError(
            f"--time-limit {arguments.time_limit}", "seconds above 0", "give another --time-limit"
        )
    arguments = replace(arguments, data=fetched(arguments.data))
    for_arc = is_arc(arguments.data) and arguments.split == "test"
    if not for_arc and (arguments.augmentations, arguments.task_id, arguments.submission) != (
        None,
        "correct",
        None,
    ):
        raise InputError(
            f"--augmentations, --task-id or --submission with {arguments.data}",
            "the test split of an ARC data set",
            "leave them out",
        )
    with Deadline(arguments.time_limit, used=elapsed()) as deadline:
        values = (_run_arc if for_arc else _run_any)(arguments, deadline)
    return Report(values=values, exit_code=EXIT_CODES[deadline.ending])


def _run_arc(arguments: Arguments, deadline: Deadline) -> dict[str, Any]:
    run = arguments.run_folder
    settings = ArcEvaluation(
        submission=arguments.submission or (run if run.is_dir() else Path()) / SUBMISSION,
        augmentations=arguments.augmentations,
        task_id=arguments.task_id,
        limit=arguments.limit,
        halt=arguments.halt,
        threshold=arguments.threshold,
        confirmations=arguments.confirmations,
        max_steps=arguments.steps,
        slots=arguments.slots,
    )
    values = evaluate_arc(lambda: _model(arguments), arguments.data, settings, deadline)
    unknown = values.get("unknown_tasks")
    if unknown:
        print(
            f"thinkling: WARNING: {len(unknown)} of the {values['tasks']} test tasks are unknown to the model and "
            f"asked under the blank id: {', '.join(unknown)}",
            file=sys.stderr,
        )
    return values


def _model(arguments: Arguments) -> PuzzleModel:
    return load(
        arguments.run_folder,
        device=arguments.device,
        compute_dtype=arguments.compute_dtype,
        task=arguments.task,
    )


def _run_any(arguments: Arguments, deadline: Deadline) -> dict[str, Any]:
    model = _model(arguments)
    if arguments.grid:
        model = model.on_grid(*rows_and_columns("--grid", arguments.grid))
    columns = (arguments.question, arguments.answer)
    examples = examples_for(model, arguments.data, arguments.split, arguments.limit, columns)
    halting = model.halting_with(threshold=arguments.threshold, confirmations=arguments.confirmations)
    score = evaluate(
        model.network,
        examples,
        halt_rule(arguments.halt, halting, model.task),
        max_steps=arguments.steps or halting.max_steps,
        slots=arguments.slots,
        deadline=deadline,
    )
    return score.as_json() | {
        "halt": arguments.halt,
        "max_steps": arguments.steps or halting.max_steps,
        "params": model.params,
        "ended": deadline.ending,
    }


def examples_for(
    model: PuzzleModel,
    data: Path,
    split: str,
    limit: int = 0,
    columns: tuple[str, str] = ("question", "answer"),
) -> Examples:
    """The examples of a data set folder or CSV file (with these columns), checked to fit the model.

    Raises:
        InputError: the path does not exist, or its puzzles are of another kind than the model's.
    """
    task = model.task
    if not data.is_dir():
        puzzles = read_puzzle_csv(data, task, question=columns[0], answer=columns[1])
    elif isinstance(task, Table):
        puzzles = read_table_split(data, split, task)
    else:
        puzzles = read_split(data, split)
    metadata = puzzles.metadata
    if (metadata.seq_len, metadata.vocab_size) != (task.seq_len, task.vocab_size):
        raise InputError(
            f"{data}: puzzles of {metadata.seq_len} cells and {metadata.vocab_size} tokens",
            f"{task.seq_len} cells and {task.vocab_size} tokens, what {task.name} of this model has",
            "use data of the model's own kind",
        )
    examples = Examples(puzzles, task, augment=False)
    return examples.first(limit) if limit else examples
