"""`thinkling eval` with a puzzle model: depth, breadth and selection, or ARC's vote."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import write_text
from thinkling.cli.arguments import CommandArguments, rows_and_columns
from thinkling.cli.clock import elapsed
from thinkling.cli.output import Report
from thinkling.cli.solve import check_budget
from thinkling.data.array_store import read_split
from thinkling.errors import InputError, nearest
from thinkling.puzzles.arc_evaluate import SUBMISSION, ArcEvaluation, evaluate_arc
from thinkling.puzzles.arc_questions import TaskIdMode, is_arc
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.breadth_evaluate import evaluate_thinking
from thinkling.puzzles.calibration import Calibration, reliability_picture
from thinkling.puzzles.datasets.csv_puzzles import read_puzzle_csv
from thinkling.puzzles.datasets.table_recode import read_table_split
from thinkling.puzzles.deadline import EXIT_CODES, Deadline
from thinkling.puzzles.evaluate import DEFAULT_SLOTS
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.load import load
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule
from thinkling.puzzles.search_evaluate import evaluate_search
from thinkling.puzzles.search_tree import DEFAULT_BUDGET
from thinkling.tasks.search_rules import rules_needed
from thinkling.tasks.table import Table
from thinkling.thinking.halting import HaltRule
from thinkling.thinking.selection import Select

if TYPE_CHECKING:
    from rich.table import Table as RichTable


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
    steps: str = "0"
    """Limit of segments (0: the trained one), or several with commas between, such as 16,64,256."""
    samples: str = "1"
    """Chains of thought for each puzzle, or several numbers with commas between, such as 1,4,16."""
    select: str = ""
    """Which chain to believe: q, vote, residual, first or valid, or several with commas between. Where not given: valid
    if the task can tell, else q."""
    vary: Literal["symmetry", "init", "noise"] = "symmetry"
    """What chains differ by: symmetric copies of the puzzle, where the carry begins, or noise on its way."""
    noise: float | None = None
    """For --vary init or noise: standard deviation of the noise."""
    alone: int | None = None
    """Segments that the first chain has to itself before the others join; where not given, 4 with --halt valid, else
    0."""
    seed: int = 0
    """Of symmetric copies and noise."""
    search: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Search for an answer to every puzzle, too, and say who has solved which share: the network alone, breadth, or
    search. The other figures stay the model's own."""
    budget: int | None = None
    """With --search: segments that a puzzle may cost (4096 where not given)."""
    reliability: Path | None = None
    """Write a picture of how far the halt probability can be trusted to this SVG file."""
    halt: Literal["q", "valid", "never"] = "q"
    """What stops a puzzle: the model's Q value, a valid answer, or only the limit."""
    threshold: float | None = None
    """For --halt q: least probability of being right; the model's own setting where not given."""
    confirmations: int | None = None
    """For --halt q: further segments in a row that must agree; the model's own setting where not given."""
    slots: int = DEFAULT_SLOTS
    """Chains in work at once; a puzzle has one chain or more."""
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


def run(arguments: Arguments) -> Report:
    """Score and return the contract's keys, or a table of them."""
    for name in ("limit", "augmentations"):
        if (getattr(arguments, name) or 0) < 0:
            raise InputError(f"--{name} {getattr(arguments, name)}", "0 or more", f"give another --{name}")
    check_budget(arguments.budget, arguments.search)
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
        if for_arc:
            values, table = _run_arc(arguments, deadline), None
        else:
            values, table = _run_any(arguments, deadline)
    return Report(values=values, text=table, exit_code=EXIT_CODES[deadline.ending])


def _run_arc(arguments: Arguments, deadline: Deadline) -> dict[str, Any]:
    run = arguments.run_folder
    (steps, *others) = numbers("--steps", arguments.steps, least=0)
    usual = (arguments.samples, arguments.select, arguments.vary, arguments.reliability, arguments.search)
    if others or usual != ("1", "", "symmetry", None, False):
        raise InputError(
            f"several --steps, --samples, --select, --vary, --search or --reliability with {arguments.data}",
            "one number of steps: ARC answers are voted over the augmentations of the data set",
            "leave them out",
        )
    settings = ArcEvaluation(
        submission=arguments.submission or (run if run.is_dir() else Path()) / SUBMISSION,
        augmentations=arguments.augmentations,
        task_id=arguments.task_id,
        limit=arguments.limit,
        halt=arguments.halt,
        threshold=arguments.threshold,
        confirmations=arguments.confirmations,
        max_steps=steps,
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


def _run_any(arguments: Arguments, deadline: Deadline) -> tuple[dict[str, Any], RichTable | None]:
    steps = numbers("--steps", arguments.steps, least=0)
    samples = numbers("--samples", arguments.samples, least=1)
    selects = _selects(arguments.select)
    first = Thinking(
        halt=arguments.halt,
        samples=max(samples),
        vary=arguments.vary,
        noise=arguments.noise,
        alone=arguments.alone,
        seed=arguments.seed,
    )
    first.check_slots(arguments.slots)
    model = _model(arguments)
    if arguments.grid:
        model = model.on_grid(*rows_and_columns("--grid", arguments.grid))
    first.check_task(model.task)
    if arguments.search:
        rules_needed(model.task)
    columns = (arguments.question, arguments.answer)
    examples = examples_for(model, arguments.data, arguments.split, arguments.limit, columns)
    halting = model.halting_with(threshold=arguments.threshold, confirmations=arguments.confirmations)
    settings = [
        replace(first, steps=limit or halting.max_steps, samples=count)
        for limit in steps
        for count in samples
    ]
    rule = halt_rule(arguments.halt, halting, model.task)
    chosen = selects or [first.select_for(model.task)]
    rows, calibration = _scored(model, examples, settings, rule, chosen, arguments.slots, deadline)
    if arguments.reliability is not None:
        _write_picture(arguments.reliability, calibration)
    shared = {"halt": arguments.halt, "vary": arguments.vary, "params": model.params}
    last: dict[str, Any] = {"calibration": calibration.as_json()}
    if arguments.search:
        last["search"] = evaluate_search(
            model,
            examples,
            replace(first, halt="valid", steps=max(steps) or halting.max_steps),
            budget=arguments.budget or DEFAULT_BUDGET,
            slots=arguments.slots,
            deadline=deadline,
        ).as_json()
    last["ended"] = deadline.ending
    if len(rows) == 1:
        return rows[0] | shared | last, None
    table = comparison(rows, arguments.halt)
    if "search" in last:
        table.caption = _search_in_words(last["search"])
        table.caption_justify = "left"
    return {"n": rows[0]["n"]} | shared | {"rows": rows} | last, table


def _scored(
    model: PuzzleModel,
    examples: Examples,
    settings: Sequence[Thinking],
    rule: HaltRule,
    selects: Sequence[Select],
    slots: int,
    deadline: Deadline,
) -> tuple[list[dict[str, Any]], Calibration]:
    """A row for each setting and way to choose among its chains, and how well the first one knows when it is right."""
    rows: list[dict[str, Any]] = []
    calibrations = []
    for thinking in settings:
        several = thinking.samples > 1  # one chain needs no choice
        scores = evaluate_thinking(
            model,
            examples,
            thinking,
            rule,
            selects=selects if several else selects[:1],
            slots=slots,
            deadline=deadline,
        )
        calibrations.append(scores[0].calibration)
        width = {"max_steps": thinking.steps, "samples": thinking.samples}
        rows += [score.as_json() | width | ({} if several else {"select": None}) for score in scores]
    return rows, calibrations[0]


def _search_in_words(score: Mapping[str, Any]) -> str:
    """Who solved how much, for a person; the rows above are the network's own."""
    return (
        f"with search: {score['network']:.4f} by the network alone, {score['breadth']:.4f} by breadth, "
        f"{score['search']:.4f} by search, {score['unsolved']:.4f} unsolved; "
        f"{score['mean_segments']:.1f} segments a puzzle, budget {score['budget']:,}"
    )


def numbers(flag: str, text: str, least: int) -> list[int]:
    """Whole numbers with commas between.

    Raises:
        InputError: anything else, a number below the least, or one twice.
    """
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < least or len(set(found)) < len(found):
        raise InputError(
            f"{flag} {text!r}",
            f"whole numbers from {least}, each once, with commas between",
            f"write {flag} 4 or {flag} 1,4,16",
        )
    return found


def _selects(text: str) -> list[Select]:
    """The selections named, with commas between; none for no text."""
    known = get_args(Select)
    found: list[Select] = []
    for word in text.split(",") if text else []:
        if word not in known or word in found:
            raise InputError(f"--select {text!r}", f"{', '.join(known)}, each once", nearest(word, known))
        found.append(cast(Select, word))
    return found


def _write_picture(path: Path, calibration: Calibration) -> None:
    try:
        write_text(path, reliability_picture(calibration))
    except OSError as error:
        raise InputError(
            f"--reliability {path}: {error.strerror}", "a file that can be written", "give another path"
        ) from None


def comparison(rows: Sequence[Mapping[str, Any]], halt: str) -> RichTable:
    """Depth, breadth and selection side by side, for a person."""
    from rich.table import Table as RichTable

    title = f"{rows[0]['n']} puzzles, halting by {halt}; segments are those of all chains of a puzzle"
    table = RichTable(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    judged = rows[0]["solved_by"] is not None
    heads = ["steps", "samples", "select", "accuracy", "segments", "seconds", "wrong,\nsure"]
    for head in heads + (["by the\nnetwork", "by\nbreadth"] if judged else []):
        table.add_column(head, justify="left" if head == "select" else "right", no_wrap=True)
    for row in rows:
        by = [f"{row['solved_by'][name]:.4f}" for name in ("network", "breadth")] if judged else []
        table.add_row(
            str(row["max_steps"]),
            str(row["samples"]),
            row["select"] or "–",
            f"{row['exact_accuracy']:.4f}",
            f"{row['mean_segments']:.2f}",
            f"{row['seconds']:.1f}",
            f"{row['wrong_but_confident']:.4f}",
            *by,
        )
    return table


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
