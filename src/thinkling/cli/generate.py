"""`thinkling generate RUN "prompt"`: let a language model answer a prompt, or every line of a file."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkling.cli.answer_arguments import AnswerArguments, as_json, load_to_answer, show_pieces
from thinkling.cli.output import Report, write_json
from thinkling.cli.text_lines import one_of_text_or_file, text_lines
from thinkling.errors import InputError
from thinkling.lm.engine import DEFAULT_SLOTS
from thinkling.lm.language_model import LanguageModel, Vote


@dataclass(frozen=True, kw_only=True)
class Arguments(AnswerArguments):
    """Let a language model answer a prompt, or with --file every line of a file, one JSON object a line.

    A model that was trained on text only goes on with the prompt.
    """

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder, or hf://OWNER/NAME."""
    prompt: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PROMPT")] = ""
    """The prompt."""
    file: Path | None = None
    """A UTF-8 file with one prompt a line."""
    votes: int = 0
    """Sample so many answers and take the most frequent one (0: one answer, no vote)."""
    hide_thinking: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not show the reasoning."""


def run(arguments: Arguments) -> Report | int:
    """Answer and show."""
    one_of_text_or_file(arguments.prompt, arguments.file)
    if arguments.votes < 0:
        raise InputError(f"--votes {arguments.votes}", "0 or more", "give another --votes")
    if arguments.votes and arguments.file is not None:
        raise InputError("--votes with --file", "one of the two", "vote on one prompt at a time")
    settings = arguments.settings()
    model = load_to_answer(arguments.run_folder, arguments)
    if arguments.file is not None:
        return _generate_file(model, arguments, arguments.file)
    if arguments.votes:
        vote = model.vote(arguments.prompt, arguments.votes, settings)
        return Report(values=_vote_as_json(vote))
    if arguments.json:
        return Report(values=as_json(model.generate(arguments.prompt, settings)))
    generated = show_pieces(model.stream(arguments.prompt, settings), hide_thinking=arguments.hide_thinking)
    print(
        f"{generated.tokens} tokens, {generated.thinking_tokens} of them thinking, "
        f"{generated.tokens_per_second:.0f} tokens/s",
        file=sys.stderr,
    )
    return 0


def _vote_as_json(vote: Vote) -> dict[str, Any]:
    chosen = next((one for one in vote.samples if one.text.strip() == vote.text), vote.samples[0])
    return as_json(chosen) | {
        "text": vote.text,
        "tokens": sum(one.tokens for one in vote.samples),
        "thinking_tokens": sum(one.thinking_tokens for one in vote.samples),
        "votes": len(vote.samples),
        "share": vote.share,
        "shares": dict(vote.shares),
    }


def _generate_file(model: LanguageModel, arguments: Arguments, path: Path) -> int:
    """One JSON object a line, in the order of the file; some slots' worth of lines are read at a time."""
    settings, count, tokens = arguments.settings(), 0, 0
    start = time.perf_counter()
    lines = text_lines(path)
    while prompts := list(islice(lines, 4 * DEFAULT_SLOTS)):
        for generated in model.generate_many(prompts, settings, first_number=count + 1, place=f"{path} line"):
            write_json(as_json(generated))
            count, tokens = count + 1, tokens + generated.tokens
    seconds = max(time.perf_counter() - start, 1e-9)
    print(f"{count} prompts in {seconds:.1f} s, {tokens / seconds:.0f} tokens/s", file=sys.stderr)
    return 0
