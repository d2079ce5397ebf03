"""`thinkling eval RUN --data DATA`: score a model. What the run is decides which settings there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tyro

from thinkling.cli import eval_benchmark, eval_lm, eval_puzzles, eval_text
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.eval_puzzles import Arguments as Arguments  # what the command takes by default
from thinkling.cli.eval_puzzles import examples_for as examples_for  # other commands score puzzles, too
from thinkling.cli.output import Report
from thinkling.errors import ThinklingError
from thinkling.lm.benchmarks.registry import is_benchmark
from thinkling.models import product_of
from thinkling.thinking_bert.load import is_classifier


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
        return eval_puzzles.run(arguments)
    if isinstance(arguments, eval_lm.LanguageArguments):
        return eval_lm.run(arguments)
    if isinstance(arguments, eval_benchmark.BenchmarkArguments):
        return eval_benchmark.run(arguments)
    return eval_text.run(arguments)
