"""`thinkling encode RUN TEXT`: texts as vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import write_whole
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report
from thinkling.cli.text_lines import one_of_text_or_file, text_lines
from thinkling.errors import InputError
from thinkling.thinking_bert.load import load_encoder

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Turn a text, or with --file every line of a file, into a vector of length 1."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder, hf://OWNER/NAME, or a model.onnx written by `thinkling export onnx`."""
    text: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ""
    """The text."""
    file: Path | None = None
    """A UTF-8 file with one text a line."""
    tokens: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A vector for each token instead of one for the text."""
    out: Path | None = None
    """Write the vectors to this .npy file instead of printing them: float32, one row a text (or a token)."""
    halt: Literal["q", "never"] = "never"
    """What stops thinking: the model's Q value, or only the limit."""
    steps: int = 0
    """Limit of rounds (0: the trained one)."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: Arguments) -> Report:
    """Encode, then print or write."""
    one_of_text_or_file(arguments.text, arguments.file)
    if arguments.steps < 0:
        raise InputError(f"--steps {arguments.steps}", "0 or more", "give another --steps")
    if arguments.out is not None and arguments.out.suffix != ".npy":
        raise InputError(f"--out {arguments.out}", "a file that ends in .npy", "give such a name")
    model = load_encoder(arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype)
    texts: Iterator[str] = iter([arguments.text])
    place = "text"
    if arguments.file is not None:
        texts, place = text_lines(arguments.file), f"{arguments.file} line"
    steps = arguments.steps or None
    if arguments.tokens:
        parts = model.encode_tokens(texts, halt=arguments.halt, steps=steps, place=place)
        values: dict[str, Any] = {"n": len(parts), "tokens_of_each": [len(part) for part in parts]}
        width = model.network.config.hidden_size
        vectors = np.concatenate(parts) if parts else np.empty((0, width), dtype=np.float32)
    else:
        vectors = model.encode(texts, halt=arguments.halt, steps=steps, place=place)
        values = {"n": len(vectors)}
    values |= {"shape": list(vectors.shape), "params": model.params}
    if arguments.out is not None:
        _write(arguments.out, vectors)
        return Report(values=values | {"out": arguments.out})
    return Report(values=values | {"vectors": vectors}, text=_for_a_person(vectors))


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    def save(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.save(file, vectors)

    try:
        write_whole(path, save)
    except OSError as error:
        raise InputError(
            f"--out {path}: {error.strerror}", "a file that can be written", "give another path"
        ) from None


def _for_a_person(vectors: NDArray[np.float32]) -> str:
    """The first numbers of each vector."""
    more = " …" if vectors.shape[1] > _SHOWN else ""
    lines = [" ".join(f"{value:7.4f}" for value in row[:_SHOWN]) + more for row in vectors]
    return "\n".join([f"{len(vectors)} x {vectors.shape[1]} (all numbers with --json or --out)", *lines])
