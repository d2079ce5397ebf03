"""`thinkling export onnx RUN --out PATH`: a run in another format, read back and compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import find_model_folder, read_config
from thinkling.cli.arguments import CommandArguments, Subcommand
from thinkling.cli.output import Report
from thinkling.errors import InputError
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


SUBCOMMANDS = {
    "onnx": Subcommand(
        arguments=OnnxArguments, run=onnx, summary="one file for onnxruntime, of a Thinking-BERT"
    ),
}
