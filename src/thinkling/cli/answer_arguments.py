"""Flags that `generate`, `chat` and `eval` share: how a language model answers, and how an answer is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text

from thinkling.cli.arguments import CommandArguments
from thinkling.errors import InputError
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel, Piece
from thinkling.lm.load import load
from thinkling.lm.sampling import SamplingConfig


@dataclass(frozen=True, kw_only=True)
class AnswerArguments(CommandArguments):
    """How a language model answers."""

    max_tokens: int = 256
    """Tokens of reasoning and answer together at most."""
    temperature: float = 0.0
    """0: always the likeliest token; 1: drawn as the model says."""
    top_k: int = 0
    """Draw from so many likeliest tokens only (0: all)."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together reach this probability."""
    min_p: float = 0.0
    """Draw only tokens at least this share as likely as the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1: tokens that occurred become less likely."""
    seed: int = 0
    """Of the draws."""
    think_budget: int | None = None
    """Tokens of thinking at most, then the model must answer (not given: as many as fit)."""
    no_thinking: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let the model answer at once."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer and are cut off."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""
    compile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Generate faster on a CPU, with kernels that this machine's C++ compiler makes first."""

    def settings(self) -> AnswerSettings:
        """The flags as the library has them.

        Raises:
            InputError: a value out of its range.
        """
        for flag, value, least in (
            ("--max-tokens", self.max_tokens, 1),
            ("--think-budget", self.think_budget, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"{flag} {value}", f"{least} or more", f"give another {flag}")
        return AnswerSettings(
            max_tokens=self.max_tokens,
            sampling=SamplingConfig(
                temperature=self.temperature,
                top_k=self.top_k,
                top_p=self.top_p,
                min_p=self.min_p,
                repetition_penalty=self.repetition_penalty,
                seed=self.seed,
            ),
            thinking=not self.no_thinking,
            think_budget=self.think_budget,
            stop=self.stop,
        )


def load_to_answer(run: Path, arguments: AnswerArguments) -> LanguageModel:
    """The model of a run folder, on the device and in the way that the flags say.

    Raises:
        InputError: the folder is missing or damaged, or nothing can be compiled here.
    """
    model = load(run, device=arguments.device, compute_dtype=arguments.compute_dtype)
    if arguments.compile:
        model.compile()
    return model


def as_json(generated: Generated) -> dict[str, Any]:
    """The contract's keys for an answer, and some more."""
    return {
        "text": generated.text,
        "reasoning": generated.reasoning,
        "tokens": generated.tokens,
        "tokens_per_second": generated.tokens_per_second,
        "thinking_tokens": generated.thinking_tokens,
        "prompt_tokens": generated.prompt_tokens,
        "finish": generated.finish,
    }


def show_pieces(pieces: Iterable[Piece], *, hide_thinking: bool) -> Generated:
    """Print an answer as it is written, its reasoning dimmed or left out; the whole answer.

    Raises:
        InputError: as the pieces do.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    before, generated = "", None
    for piece in pieces:
        generated = piece.generated or generated
        if not piece.text or (hide_thinking and piece.kind == "reasoning"):
            continue
        if before == "reasoning" and piece.kind == "text":
            console.print()
        before = piece.kind
        style = "dim" if piece.kind == "reasoning" else ""
        console.print(Text(printable(piece.text), style=style), end="", soft_wrap=True)
    console.print()
    assert generated is not None, "the last piece carries the answer"
    return generated


def printable(text: str) -> str:
    """Text without characters that would steer the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text
    )
