"""`thinkling export onnx|gguf|hf RUN --out PATH`: a run in another format, read back and compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Group
from rich.table import Table
from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import find_model_folder, read_config
from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.output import Report, in_words, plain
from thinkling.errors import InputError
from thinkling.lm.gguf.export import GgufExport, export_gguf
from thinkling.lm.gguf.fields import GgufType
from thinkling.lm.hf_weights import HfExport, StoredDtype, export_hf
from thinkling.thinking_bert.onnx_export import OnnxExport, export_onnx

TO_ONNX: Mapping[str, Callable[[Path, Path], OnnxExport]] = {"thinking_bert": export_onnx}
"""What writes and compares the model of a run, by the product in its config.json."""


@dataclass(frozen=True, kw_only=True)
class OnnxArguments(CommandArguments):
    """Write a Thinking-BERT as one ONNX file with settings and tokenizer, and compare it in onnxruntime.

    The graph is one round of thinking; rounds are repeated, and ended by the halt value, outside of it.
    """

    run: Positional[Path]
    """The run folder, a checkpoint inside one, or hf://OWNER/NAME."""
    out: Path
    """The file to write, such as model.onnx; an existing one is replaced."""


def onnx(arguments: OnnxArguments) -> Report:
    """Export; the exit code is 1 where the file does not compute what the run does.

    Raises:
        InputError: a run that cannot be exported, or a missing package.
    """
    run = fetched(arguments.run)
    product = str(read_config(find_model_folder(run)).get("product"))
    if product not in TO_ONNX:
        raise InputError(f"a run of the product {product!r}", ", ".join(TO_ONNX), "export another run")
    written = TO_ONNX[product](run, arguments.out)
    if not written.checked:
        print(
            f"thinkling: {written.path}: onnxruntime is {written.max_abs_diff:.3g} away from the run; "
            f"allowed: {written.tolerance:g}; do not use this file, and report the fault",
            file=sys.stderr,
        )
    return Report(values=asdict(written), exit_code=0 if written.checked else 1)


@dataclass(frozen=True, kw_only=True)
class GgufArguments(CommandArguments):
    """Write a language model as one GGUF file, open it in llama.cpp, and compare.

    Compared are the tokens of 10,000 strings with all numbers up to 99,999 in them, the logits, 64 tokens of going on
    with the likeliest one, and the perplexity of a text in every type.
    """

    run: Positional[Path]
    """The run folder, a checkpoint inside one, or hf://OWNER/NAME."""
    out: Path
    """The file to write, such as model.gguf; an existing one is replaced."""
    kind: Annotated[GgufType, tyro.conf.arg(name="type")] = "bf16"
    """How matrices are stored: in 16 bits (bf16, f16), in 8 (q8_0), or in 4 (q4_k_m, q4_0)."""
    fall_back: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """For q4_k_m: store matrices whose rows are no multiple of 256 in llama.cpp's next finer type."""
    text: Path | None = None
    """What perplexity is measured on (.txt, .jsonl, or a folder); text of our own where not given."""
    only_type: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Compare and measure bf16 and this type only, which saves time and disk space with a large model."""


def gguf(arguments: GgufArguments) -> Report:
    """Export; the exit code is 1 where llama.cpp does not compute what the run does.

    Raises:
        InputError: a run that cannot be exported, a type that its shapes do not allow, or a missing package.
    """
    written = export_gguf(
        fetched(arguments.run),
        arguments.out,
        arguments.kind,
        fall_back=arguments.fall_back,
        text=arguments.text,
        every_type=not arguments.only_type,
    )
    values = asdict(written)
    values = {"type" if name == "kind" else name: value for name, value in values.items()}
    values["table"] = [{"type": row.pop("kind"), **row} for row in values["table"]]
    return _compared(written, values, _types_table(written))


@dataclass(frozen=True, kw_only=True)
class HfArguments(CommandArguments):
    """Write a language model as a folder for Hugging Face Transformers, open it there, and compare.

    A run folder opens there too; this one holds nothing else, and the averaged weights where there are any.
    """

    run: Positional[Path]
    """The run folder, a checkpoint inside one, or hf://OWNER/NAME."""
    out: Path
    """The folder to write."""
    dtype: StoredDtype = "float32"
    """How the weights are stored."""


def hf(arguments: HfArguments) -> Report:
    """Export; the exit code is 1 where Transformers does not compute what the run does.

    Raises:
        InputError: a run that cannot be exported.
    """
    written = export_hf(fetched(arguments.run), arguments.out, arguments.dtype)
    return _compared(written, asdict(written))


def _compared(
    written: GgufExport | HfExport, values: Mapping[str, Any], table: Table | None = None
) -> Report:
    """What was written; what differs is said on standard error, and makes the exit code 1."""
    for fault in written.faults:
        print(f"thinkling: {written.path}: {fault}; do not use it, and report the fault", file=sys.stderr)
    if written.note:
        print(f"thinkling: {written.path}: {written.note}", file=sys.stderr)
    facts = Table.grid(padding=(0, 3))
    for name, value in plain(values).items():
        if name not in ("table", "faults", "note"):
            facts.add_row(name.replace("_", " "), in_words(value))
    text = facts if table is None else Group(facts, "", table)
    return Report(values=values, text=text, exit_code=1 if written.faults else 0)


def _types_table(written: GgufExport) -> Table | None:
    if not written.table:
        return None
    table = Table("type", "bytes", "perplexity", "same likeliest token", title="the run, and files of it")
    for row in written.table:
        table.add_row(row.kind, f"{row.bytes:,}", f"{row.perplexity:.4f}", f"{row.same_token:.1%}")
    return table


SUBCOMMANDS = {
    "onnx": Subcommand(
        arguments=OnnxArguments, run=onnx, summary="one file for onnxruntime, of a Thinking-BERT"
    ),
    "gguf": Subcommand(
        arguments=GgufArguments, run=gguf, summary="one file for llama.cpp, of a language model"
    ),
    "hf": Subcommand(
        arguments=HfArguments, run=hf, summary="a folder for Hugging Face Transformers, of a language model"
    ),
}
