"""`thinkling export onnx|web|gguf|hf RUN --out PATH`: a run in another format, read back and compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Group
from rich.table import Table
from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.eval import examples_for
from thinkling.cli.output import Report, in_words, plain
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.lm.gguf.export import GgufExport, export_gguf
from thinkling.lm.gguf.fields import GgufType
from thinkling.lm.hf_weights import HfExport, StoredDtype, export_hf
from thinkling.models import product_of
from thinkling.puzzles.load import load as load_puzzles
from thinkling.puzzles.onnx_export import MOST_LOST, PuzzleOnnxExport, export_puzzles
from thinkling.serving.web_export import export_web
from thinkling.thinking_bert.onnx_export import OnnxExport, export_onnx


@dataclass(frozen=True, kw_only=True)
class OnnxArguments(CommandArguments):
    """Write a puzzle model or a Thinking-BERT as one ONNX file with its settings, and compare it in onnxruntime.

    The graph is one segment of thought. Segments are repeated, and ended by the halt value or by a valid answer,
    outside of it: `thinkling solve model.onnx` and `thinkling fill model.onnx` do that.
    """

    run: Positional[Path]
    """The run folder, a checkpoint inside one, or hf://OWNER/NAME."""
    out: Path
    """The file to write, such as model.onnx; an existing one is replaced."""
    int8: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """For puzzles: store matrices in 8 bits, a quarter of the size. Needs --data."""
    data: Path | None = None
    """For puzzles: a data set or CSV file; the file's exact accuracy on it is compared with the run's."""
    limit: int = 500
    """With --data: only so many puzzles of its test split (0: all)."""


def onnx(arguments: OnnxArguments) -> Report:
    """Export; the exit code is 1 where the file does not do what the run does.

    Raises:
        InputError: a run that cannot be exported, or a missing package.
    """
    run = fetched(arguments.run)
    product = product_of(run)
    if product == "puzzles":
        puzzles = _judged_on(run, arguments)
        written: OnnxExport | PuzzleOnnxExport = export_puzzles(
            run, arguments.out, int8=arguments.int8, puzzles=puzzles
        )
    elif product != "thinking_bert":
        raise InputError(f"a run of the product {product!r}", "puzzles, thinking_bert", "export another run")
    elif arguments.int8 or arguments.data is not None:
        raise InputError("--int8 or --data for a Thinking-BERT", "these with a puzzle run", "leave them out")
    else:
        written = export_onnx(run, arguments.out)
    if not written.checked:
        print(f"thinkling: {written.path}: {_fault(written)}; do not use this file", file=sys.stderr)
    values = {name: value for name, value in asdict(written).items() if value is not None}
    return Report(values=values, exit_code=0 if written.checked else 1)


def _judged_on(run: Path, arguments: OnnxArguments | WebArguments) -> PuzzleSet | None:
    """The puzzles that a file is compared on; None where no data was named."""
    if arguments.limit < 0:
        raise InputError(f"--limit {arguments.limit}", "0 or more", "give another --limit")
    if arguments.data is None:
        return None
    model = load_puzzles(run, device="cpu", compute_dtype="float32")
    return examples_for(model, fetched(arguments.data), "test", arguments.limit).puzzles


def _fault(written: OnnxExport | PuzzleOnnxExport) -> str:
    """What is wrong with a file that was not found to be as good as its run."""
    if isinstance(written, PuzzleOnnxExport) and written.int8:
        return (
            f"{written.exact_accuracy:.1%} of {written.n} puzzles are right, {written.exact_accuracy_run:.1%} in fp32; "
            f"allowed to be lost: {MOST_LOST:.1%}; export without --int8"
        )
    return (
        f"onnxruntime is {written.max_abs_diff:.3g} away from the run; allowed: {written.tolerance:g}; "
        "report the fault"
    )


@dataclass(frozen=True, kw_only=True)
class WebArguments(CommandArguments):
    """Write a folder of static files in which a puzzle model thinks in the browser: page, model and onnxruntime-web.

    It works from any file server, such as `python -m http.server -d DIR`, and fetches nothing from elsewhere. The
    first export fetches onnxruntime-web from npm's registry and keeps it in the user's cache.
    """

    run: Positional[Path]
    """The run folder of a puzzle model, a checkpoint inside one, or hf://OWNER/NAME."""
    out: Path
    """The folder to write; an earlier export is replaced."""
    name: str = ""
    """How the page calls the model; the run folder's name where not given."""
    examples: Path | None = None
    """A CSV file with a column question: what the page offers to begin with."""
    int8: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Store matrices in 8 bits, a quarter of the size to download. Needs --data."""
    data: Path | None = None
    """A data set or CSV file; the exact accuracy of the exported model on it is compared with the run's."""
    limit: int = 500
    """With --data: only so many puzzles of its test split (0: all)."""
    ort: Path | None = None
    """A folder with the files of onnxruntime-web (its dist), in place of fetching them."""


def web(arguments: WebArguments) -> Report:
    """Export; the exit code is 1 where the model's file does not do what the run does.

    Raises:
        InputError: a run that cannot be exported, a missing package, or a folder that is no earlier export.
    """
    run = fetched(arguments.run)
    product = product_of(run)
    if product != "puzzles":
        raise InputError(f"a run of the product {product!r}", "puzzles", "use `thinkling serve` for its page")
    written = export_web(
        run,
        arguments.out,
        name=arguments.name,
        int8=arguments.int8,
        puzzles=_judged_on(run, arguments),
        examples=arguments.examples,
        runtime=arguments.ort,
    )
    if not written.checked:
        print(f"thinkling: {written.path}: {_fault(written.model)}; do not use it", file=sys.stderr)
    values = asdict(written)
    values["model"] = {
        name: value for name, value in values["model"].items() if value is not None and name != "path"
    }
    return Report(values=values, exit_code=0 if written.checked else 1)


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
        arguments=OnnxArguments,
        run=onnx,
        summary="one file for onnxruntime, of a puzzle run or a Thinking-BERT",
    ),
    "web": Subcommand(
        arguments=WebArguments,
        run=web,
        summary="a folder of static files that solves puzzles in the browser, of a puzzle run",
    ),
    "gguf": Subcommand(
        arguments=GgufArguments, run=gguf, summary="one file for llama.cpp, of a language model"
    ),
    "hf": Subcommand(
        arguments=HfArguments, run=hf, summary="a folder for Hugging Face Transformers, of a language model"
    ),
}
