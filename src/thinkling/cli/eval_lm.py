"""`thinkling eval RUN --data DATA` for a language model: answers to questions, or text it has not seen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.answer_arguments import AnswerArguments, load_to_answer
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.conversations import conversations, part_of
from thinkling.data.text_store import is_text_store, read_text_store
from thinkling.errors import InputError
from thinkling.lm.answers_evaluate import evaluate_answers
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.run_files import CHAT
from thinkling.lm.text_evaluate import evaluate_text


@dataclass(frozen=True, kw_only=True)
class LanguageArguments(AnswerArguments):
    """Score a language model: on questions with answers (JSON lines), or on a tokenised corpus in bits per byte."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    data: Path
    """Problems or conversations (.jsonl, or a folder with test.jsonl), or a tokenised corpus with the model's own
    vocabulary."""
    split: Literal["test", "validation", "train"] = "test"
    """Which part of a folder."""
    limit: int = 1000
    """Ask at most so many questions, or score so many rows spread over the documents (0: all)."""
    length: int = 0
    """For a corpus: tokens of a row (0: as many as the model reads)."""
    show_wrong: int = 0
    """List so many wrong answers."""


def run(arguments: LanguageArguments) -> dict[str, Any]:
    """Score and return the contract's keys, and those of the kind of data."""
    for name in ("limit", "length", "show_wrong"):
        if getattr(arguments, name) < 0:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} {getattr(arguments, name)}", "0 or more", f"give another {flag}")
    settings = arguments.settings()
    data = fetched(arguments.data)
    model = load_to_answer(arguments.run_folder, arguments)
    if is_text_store(data):
        return _score_text(model, arguments, data)
    if model.stage != CHAT:
        raise InputError(
            f"{arguments.run_folder}: questions for a model of the stage {model.stage!r}",
            "a model that was trained on conversations, or a tokenised corpus",
            "train it on conversations first (thinkling train lm-sft)",
        )
    score = evaluate_answers(
        model,
        islice(conversations(_file_of(data, arguments.split)), arguments.limit or None),
        settings,
        show_wrong=arguments.show_wrong,
    )
    values = dataclasses.asdict(score)
    if not arguments.show_wrong:
        del values["wrong"]
    return values | {
        "cell_accuracy": None,
        "valid_rate": score.parse_rate,
        "mean_steps": score.mean_thinking_tokens,
        "p95_steps": score.p95_thinking_tokens,
        "wrong_but_confident": None,
        "examples_per_second": score.n / max(score.seconds, 1e-9),
        "tokens_per_second": score.tokens_per_second,
        "params": model.params,
    }


def _score_text(model: LanguageModel, arguments: LanguageArguments, data: Path) -> dict[str, Any]:
    store = read_text_store(data, kind=ChatTokenizer)
    if store.tokenizer.to_json() != model.tokenizer.to_json():
        raise InputError(
            f"{data}: tokenised with another vocabulary than the model's",
            "a corpus tokenised with the tokenizer of the run",
            "thinkling data import text SOURCE --for lm --tokenizer RUN/tokenizer.json --out DIR",
        )
    score = evaluate_text(
        model.network,
        getattr(store, arguments.split),
        store.tokenizer,
        length=arguments.length or None,
        rows=arguments.limit,
    )
    return dataclasses.asdict(score) | {
        "bits_per_byte": score.bits_per_byte,
        "exact_accuracy": None,
        "cell_accuracy": score.token_accuracy,
        "valid_rate": None,
        "mean_steps": None,
        "p95_steps": None,
        "wrong_but_confident": None,
        "examples_per_second": score.n / max(score.seconds, 1e-9),
        "params": model.params,
    }


def _file_of(data: Path, split: str) -> Path:
    """The file with a part of the questions; a single file is all of them."""
    if not data.is_dir():
        return data
    found = part_of(data, split)
    if found is None:
        raise InputError(
            f"{data}: no {split}.jsonl", f"a file, or a folder with {split}.jsonl", "check the path"
        )
    return found
