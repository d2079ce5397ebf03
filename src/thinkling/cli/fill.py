"""`thinkling fill RUN "text with <mask>"`: fill the masks of a text, or of a file of them as a stream."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Group
from rich.table import Table
from rich.text import Text

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report, write_json
from thinkling.cli.text_lines import one_of_text_or_file, text_lines
from thinkling.errors import InputError
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.fill_mask import Filled
from thinkling.thinking_bert.load import load_encoder


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Fill the masks of a text, or with --file those of every line of a file, one JSON object a line."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder, hf://OWNER/NAME, or a model.onnx written by `thinkling export onnx`."""
    text: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ""
    """The text, with <mask> (or [MASK]) where a token is wanted."""
    file: Path | None = None
    """A UTF-8 file with one such text a line."""
    top_k: int = 5
    """Candidates for each mask."""
    halt: Literal["q", "never"] = "q"
    """What stops thinking: the model's Q value, or only the limit."""
    steps: int = 0
    """Limit of rounds (0: the trained one)."""
    threshold: float | None = None
    """For --halt q: threshold of the halting rule, between 0 and 1; the model's own setting where not given."""
    trace: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show the best guess for each mask after each round."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> Report | int:
    """Fill and show."""
    one_of_text_or_file(arguments.text, arguments.file)
    if arguments.steps < 0:
        raise InputError(f"--steps {arguments.steps}", "0 or more", "give another --steps")
    if arguments.top_k < 1:
        raise InputError(f"--top-k {arguments.top_k}", "1 or more", "give another --top-k")
    model = load_encoder(arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype)
    if arguments.file is not None:
        return _fill_file(model, arguments, arguments.file)
    filled = next(_answers(model, arguments, iter([arguments.text])))
    return Report(values=filled.as_json(), text=for_a_person(filled))


def _answers(
    model: EncoderModel, arguments: Arguments, texts: Iterator[str], place: str = "text"
) -> Iterator[Filled]:
    return model.fill_many(
        texts,
        top_k=arguments.top_k,
        halt=arguments.halt,
        steps=arguments.steps or None,
        threshold=arguments.threshold,
        trace=arguments.trace,
        place=place,
    )


def _fill_file(model: EncoderModel, arguments: Arguments, path: Path) -> int:
    """One JSON object a line, in the order of the file."""
    count = rounds = 0
    start = time.perf_counter()
    for filled in _answers(model, arguments, text_lines(path), place=f"{path} line"):
        write_json(filled.as_json())
        count, rounds = count + 1, rounds + filled.steps
    seconds = time.perf_counter() - start
    print(
        f"{count} texts in {seconds:.1f} s ({count / max(seconds, 1e-9):.0f} texts/s), "
        f"{rounds / max(count, 1):.2f} rounds a text",
        file=sys.stderr,
    )
    return 0


def for_a_person(filled: Filled) -> Any:
    """The filled text, the candidates of each mask, and after that, where it was traced, round by round."""
    rounds = "1 round" if filled.steps == 1 else f"{filled.steps} rounds"
    parts: list[Any] = [Text(filled.text, style="bold"), Text()]
    candidates = _table(["rank", *_mask_names(filled)])
    columns = [[_cell(c.token, c.probability) for c in mask.candidates] for mask in filled.masks]
    for rank, row in enumerate(zip(*columns, strict=True), 1):
        candidates.add_row(str(rank), *row)
    parts.append(candidates)
    if filled.trace:
        thoughts = _table(["round", *_mask_names(filled), "sure"])
        for number, entry in enumerate(filled.trace, 1):
            guesses = [_cell(guess.token, guess.probability) for guess in entry.guesses]
            thoughts.add_row(str(number), *guesses, f"{entry.q_halt:.3f}")
        parts += [Text(), thoughts]
    parts += [
        Text(),
        Text(f"after {rounds} of thought; its own estimate of being right: {filled.q_halt:.3f}"),
    ]
    return Group(*parts)


def _table(names: list[str]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="")
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _mask_names(filled: Filled) -> list[str]:
    return ["mask"] if len(filled.masks) == 1 else [f"mask {n}" for n in range(1, len(filled.masks) + 1)]


def _cell(token: str, probability: float) -> Text:
    """A token as it is, with blanks and control characters made visible where they are all of it."""
    shown = token.strip() if token.strip().isprintable() and token.strip() else repr(token)
    return Text(f"{shown} {probability:.3f}")
