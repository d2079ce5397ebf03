"""`thinkling lm quick`: from raw text to a GGUF file that llama.cpp answers with, in minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report
from thinkling.data.conversations import conversations
from thinkling.errors import ThinklingError
from thinkling.lm.answers_evaluate import AnswerScore, Question, evaluate_answers
from thinkling.lm.gguf.answers import Agreement, answers_agree
from thinkling.lm.gguf.export import GgufExport, export_gguf
from thinkling.lm.language_model import AnswerSettings, LanguageModel
from thinkling.lm.quick import QuickRecipe, fine_tune, make_corpora, make_problems, pretrain
from thinkling.tasks.problem import judged
from thinkling.training.trainer import TrainResult

SHOWN = 2
"""Answers shown to the user."""
GGUF = "model.gguf"
"""Name of the exported file."""

_MAX_TOKENS = 320
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Train a tokenizer and a small language model on this machine, teach it to work out problems, export it as GGUF,
    and let llama.cpp answer. The same command goes on where it was stopped."""

    out: Path = Path("runs/lm-quick")
    """The folder for everything that is made."""
    recipe: Annotated[QuickRecipe, tyro.conf.arg(name="")] = field(default_factory=QuickRecipe)
    """Sizes and amounts."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """No progress line."""


def run(arguments: Arguments) -> Report:
    """The whole line, start to end.

    Raises:
        InputError: impossible settings, or something else at `out`.
        ThinklingError: the disk refuses, or the GGUF file is not what it should be.
    """
    recipe, out, quiet = arguments.recipe, arguments.out, arguments.quiet
    seconds: dict[str, float] = {}

    def stage(name: str, what: str, work: Callable[[], R]) -> R:
        print(f"{what} …", file=sys.stderr, flush=True)
        start = time.perf_counter()
        done = work()
        if isinstance(done, TrainResult) and done.stopped == "signal":
            raise KeyboardInterrupt
        seconds[name] = round(time.perf_counter() - start, 1)
        return done

    problems = stage("problems", f"making problems in {out}", lambda: make_problems(recipe, out))
    corpora = stage(
        "tokenizer", "training a tokenizer, cutting the corpora", lambda: make_corpora(recipe, out)
    )
    stage("pretraining", "pre-training", lambda: pretrain(recipe, corpora, out, quiet=quiet))
    stage("fine_tuning", "fine-tuning", lambda: fine_tune(recipe, problems, out, quiet=quiet))
    model = LanguageModel.from_folder(out / "chat", compute_dtype="float32")
    asked = [Question.of(each) for each in conversations(problems / "test.jsonl")]
    settings = AnswerSettings(max_tokens=_MAX_TOKENS)
    score = stage(
        "answers",
        f"answering {len(asked)} problems that it has never seen",
        lambda: evaluate_answers(model, conversations(problems / "test.jsonl"), settings),
    )
    exported = stage("export", f"exporting {out / GGUF}", lambda: _exported(out))
    agreement = None
    if exported.checked:
        prompts = [model.request(question.messages, settings).prompt for question in asked]
        agreement = stage(
            "llama_cpp",
            "asking llama.cpp the same",
            lambda: answers_agree(out / GGUF, model, prompts, _MAX_TOKENS),
        )
    values = _values(out, model, score, exported, agreement, asked, seconds)
    return Report(values=values, text=_for_a_person(values, model, asked, settings, exported, out))


def _exported(out: Path) -> GgufExport:
    exported = export_gguf(out / "chat", out / GGUF, every_type=False)
    if exported.faults:
        raise ThinklingError(f"{out / GGUF} is not the model: {'; '.join(exported.faults)}")
    return exported


def _values(
    out: Path,
    model: LanguageModel,
    score: AnswerScore,
    exported: GgufExport,
    agreement: Agreement | None,
    asked: list[Question],
    seconds: dict[str, float],
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "run": str(out / "chat"),
        "gguf": str(exported.path),
        "params": model.params,
        "n": score.n,
        "exact_accuracy": score.exact_accuracy,
        "by_task": {name: part.exact_accuracy for name, part in score.by_task.items()},
        "parse_rate": score.parse_rate,
        "mean_thinking_tokens": round(score.mean_thinking_tokens, 1),
        "tokens_per_second": round(score.tokens_per_second, 1),
        "checked": exported.checked,
        "max_abs_diff": exported.max_abs_diff,
        "seconds_by_stage": seconds,
        "seconds": round(sum(seconds.values()), 1),
    }
    if agreement is not None:
        right = [
            judged(question.task, question.messages[-1].content, question.answer, answer)
            for question, answer in zip(asked, agreement.answers, strict=True)
        ]
        values["llama_cpp"] = {
            "exact_accuracy": sum(right) / len(right),
            "same_answers": agreement.same_answers,
            "same_tokens": agreement.same_tokens,
            "tokens_per_second": round(agreement.tokens_per_second, 1),
        }
    return values


def _for_a_person(
    values: dict[str, Any],
    model: LanguageModel,
    asked: list[Question],
    settings: AnswerSettings,
    exported: GgufExport,
    out: Path,
) -> str:
    shown = []
    for question in asked[:SHOWN]:
        given = model.generate(question.messages, settings)
        shown.append(f"{question.messages[-1].content}\n{given.reasoning}\n=> {given.text}")
    lines = [
        f"{values['n']} unseen problems: {values['exact_accuracy']:.1%} right "
        f"({', '.join(f'{name} {share:.0%}' for name, share in values['by_task'].items())}), "
        f"{values['mean_thinking_tokens']:.0f} tokens of thinking on average.",
        f"{values['params']:,} parameters, {values['seconds'] / 60:.1f} minutes in all.",
    ]
    if "llama_cpp" in values:
        theirs = values["llama_cpp"]
        lines.append(
            f"llama.cpp with {exported.path}: {theirs['exact_accuracy']:.1%} right, the same answer as here to "
            f"{theirs['same_answers']:.1%} of the problems."
        )
    else:
        lines.append(f"{exported.path}: {exported.note}")
    lines.append(f'Ask it yourself:  thinkling generate {out / "chat"} "What is 4711 + 289?"')
    return "\n\n".join([*shown, "\n".join(lines)])
