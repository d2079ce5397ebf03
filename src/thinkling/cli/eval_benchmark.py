"""`thinkling eval RUN --task NAME` for a language model: a named benchmark, scored with intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.artifacts.run_folder import cannot_write, write_text
from thinkling.cli.answer_arguments import AnswerArguments, load_to_answer
from thinkling.cli.output import Report
from thinkling.errors import InputError
from thinkling.lm.benchmarks.evaluate import BenchmarkScore, evaluate_benchmark
from thinkling.lm.benchmarks.item import BenchmarkItem
from thinkling.lm.benchmarks.lm_eval_task import write_lm_eval_task
from thinkling.lm.benchmarks.registry import get_benchmark

_QUESTION = "{question}"


@dataclass(frozen=True, kw_only=True)
class BenchmarkArguments(AnswerArguments):
    """Score a language model on a named benchmark."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    task: str
    """gsm8k, math500, humaneval, mbpp, svamp, aqua, gym:NAME (a data set of reasoning-gym), or one of our own generated
    tasks such as sum."""
    n: int = 0
    """Ask the first so many questions (0: all of a file, 500 where questions are generated)."""
    samples: int = 1
    """Answers to each question; more than one are drawn at --temperature, or at 1 where that is 0."""
    file: Path | None = None
    """The benchmark in its published layout, a file or a folder with its test file (also hf://); where it is published
    if not given."""
    prompt: str = ""
    """How to ask, with {question} for the question, such as "Question: {question}\\nAnswer:"."""
    details: Path | None = None
    """Write every question with its answers and verdicts to this JSON-lines file."""
    lm_eval: Path | None = None
    """Write the same questions and the same judge as a task for lm-eval into this folder, and ask nothing."""


def run(arguments: BenchmarkArguments) -> Report:
    """Score and return the contract's keys, and those of a benchmark.

    Raises:
        InputError: an unknown benchmark, a file in another layout, a number out of its range, or a run that cannot be
            asked; before the model has answered anything.
    """
    for name, least in (("n", 0), ("samples", 1)):
        if getattr(arguments, name) < least:
            raise InputError(
                f"--{name} {getattr(arguments, name)}", f"{least} or more", f"give another --{name}"
            )
    settings = arguments.settings()
    benchmark = get_benchmark(arguments.task)
    items = _asked(benchmark.items(arguments.file, n=arguments.n, seed=arguments.seed), arguments.prompt)
    if arguments.lm_eval is not None:
        name = write_lm_eval_task(arguments.lm_eval, benchmark, items, settings)
        values = {"folder": arguments.lm_eval, "lm_eval_task": name, "n": len(items)}
        return Report(values=values, text=_how_to_run(arguments.lm_eval, name))
    model = load_to_answer(arguments.run_folder, arguments)
    score = evaluate_benchmark(
        model, benchmark, items, settings, samples=arguments.samples, progress=_progress()
    )
    if arguments.details is not None:
        _write_details(arguments.details, score)
    values = score.as_json() | {
        "exact_accuracy": score.pass_at_1.value,
        "cell_accuracy": None,
        "valid_rate": score.parse_rate.value,
        "mean_steps": score.mean_thinking_tokens,
        "p95_steps": score.p95_thinking_tokens,
        "wrong_but_confident": None,
        "examples_per_second": score.n / max(score.seconds, 1e-9),
        "max_tokens": settings.max_tokens,
        "seed": arguments.seed,
        "params": model.params,
    }
    return Report(values=values, text=_table(score))


def _asked(items: list[BenchmarkItem], template: str) -> list[BenchmarkItem]:
    """The questions as the user wants them asked."""
    if not template:
        return items
    if _QUESTION not in template:
        raise InputError(
            f"--prompt {template[:40]!r}", f"a text with {_QUESTION}", "say where the question stands"
        )
    return [replace(item, prompt=template.replace(_QUESTION, item.prompt)) for item in items]


def _progress() -> Callable[[int, int], None] | None:
    """Tells on standard error how far it is, where a person reads it."""
    if not sys.stderr.isatty():
        return None
    return lambda done, total: print(f"thinkling: {done:,} of {total:,} answers", file=sys.stderr)


def _write_details(path: Path, score: BenchmarkScore) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(_details(score)))
    except OSError as error:
        raise cannot_write(path, error) from error


def _details(score: BenchmarkScore) -> Iterator[str]:
    for item, samples in score.answers:
        row = {
            "name": item.name,
            "prompt": item.prompt,
            "answer": item.answer,
            "too_long": not samples,
            "samples": [
                {
                    "text": each.given.text,
                    "reasoning": each.given.reasoning,
                    "found": each.found.flexible,
                    "right": each.right,
                    "strict": each.strict,
                    "parsed": each.parsed,
                    "thinking_tokens": each.given.thinking_tokens,
                    "finish": each.given.finish,
                }
                for each in samples
            ],
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _table(score: BenchmarkScore) -> Any:
    """What a person sees: each share with its interval."""
    from rich.table import Table

    table = Table(
        title=f"{score.benchmark}: {score.n:,} questions, {score.samples} answers each",
        caption="95 % intervals (Wilson) over questions",
    )
    table.add_column("")
    for column in ("share", "from", "to"):
        table.add_column(column, justify="right")
    rows = [(f"pass@{k}", each) for k, each in score.pass_at_k.items()]
    if score.majority_at_k is not None:
        rows += [(f"majority@{k}", each) for k, each in score.majority_at_k.items() if k > 1]
    for name, each in (
        *rows,
        ("strict (pass@1 in the asked form)", score.strict),
        ("parse rate", score.parse_rate),
    ):
        table.add_row(name, *(f"{value:.3f}" for value in (each.value, each.low, each.high)))
    for name, value in (
        ("thinking tokens, mean", f"{score.mean_thinking_tokens:,.0f}"),
        ("thinking tokens, 95th percentile", f"{score.p95_thinking_tokens:,.0f}"),
        ("cut short", f"{score.cut:.3f}"),
        ("too long for the context", f"{score.too_long:,}"),
        ("temperature", f"{score.temperature:g}"),
        ("seconds", f"{score.seconds:,.1f}"),
    ):
        table.add_row(name, value)
    return table


def _how_to_run(folder: Path, name: str) -> str:
    return (
        f"{folder}: the task {name} for lm-eval. Then:\n"
        "thinkling export hf RUN --out EXPORTED/\n"
        "lm_eval --model hf --model_args pretrained=EXPORTED/ --apply_chat_template "
        f"--include_path {folder} --tasks {name}"
    )
