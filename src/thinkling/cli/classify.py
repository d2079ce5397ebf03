"""`thinkling classify RUN TEXT`: the class of a text, or of every line of a file as a stream."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report, write_json
from thinkling.cli.text_lines import one_of_text_or_file, text_lines
from thinkling.errors import InputError
from thinkling.thinking_bert.classifier_model import ClassifierModel


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Classify a text, or with --file every line of a file, one JSON object a line."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder of a classifier, or hf://OWNER/NAME."""
    text: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ""
    """The text."""
    file: Path | None = None
    """A UTF-8 file with one text a line."""
    halt: Literal["q", "never"] = "q"
    """What stops thinking: the model's Q value, or only the limit."""
    steps: int = 0
    """Limit of rounds (0: the trained one)."""
    threshold: float | None = None
    """For --halt q: threshold of the halting rule, between 0 and 1; the model's own setting where not given."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> Report | int:
    """Classify and show."""
    one_of_text_or_file(arguments.text, arguments.file)
    if arguments.steps < 0:
        raise InputError(f"--steps {arguments.steps}", "0 or more", "give another --steps")
    model = ClassifierModel.from_folder(
        arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype
    )
    texts: Iterator[str] = iter([arguments.text])
    place = "text"
    if arguments.file is not None:
        texts, place = text_lines(arguments.file), f"{arguments.file} line"
    answers = model.classify_many(
        texts,
        halt=arguments.halt,
        steps=arguments.steps or None,
        threshold=arguments.threshold,
        place=place,
    )
    if arguments.file is None:
        return Report(values=next(answers).as_json())
    count, start = 0, time.perf_counter()
    for answer in answers:
        write_json(answer.as_json())
        count += 1
    seconds = time.perf_counter() - start
    print(f"{count} texts in {seconds:.1f} s ({count / max(seconds, 1e-9):.0f} texts/s)", file=sys.stderr)
    return 0
