"""A PyTorch module becomes one ONNX file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkling.artifacts.onnx_file import needed
from thinkling.artifacts.run_folder import cannot_write, write_whole
from thinkling.errors import InputError

MOST_BYTES = 2_000_000_000
"""An ONNX file is one protocol buffer, which cannot be longer than 2 GiB."""


def write_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Mapping[str, Sequence[str]],
    outputs: Sequence[str],
    path: Path,
    metadata: Mapping[str, str],
) -> None:
    """Trace a module and write it whole or not at all.

    Args:
        module: on the CPU, in fp32; its weights are stored in the file.
        example: inputs to trace with; a size that is free must differ from the other sizes and from 1.
        inputs: the names of the inputs, and of each one's first axes, which are free; an axis of the same name has the
            same size everywhere.
        outputs: the names of what the module returns.
        path: the file; an existing one is replaced.
        metadata: text by name, kept in the file.

    Raises:
        InputError: a package is missing, or the weights do not fit into one file.
        ThinklingError: the disk refuses.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):  # the last one to read the file back
        needed(package)
    size = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
    if size > MOST_BYTES:
        raise InputError(
            f"weights of {size:,} bytes", f"at most {MOST_BYTES:,} in one ONNX file", "use a smaller model"
        )
    with _quiet():
        program: Any = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            dynamic_shapes={name: dict(enumerate(axes)) for name, axes in inputs.items()},
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
        )
        _tidy(program.model)
        program.model.metadata_props.update(metadata)
        save_program(program, path)


def save_program(program: Any, path: Path) -> None:
    """Write anything with `save(path, external_data=False)`, whole or not at all.

    Raises:
        ThinklingError: the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: program.save(str(temporary), external_data=False))
    except OSError as error:
        raise cannot_write(path, error) from error


def _tidy(model: Any) -> None:
    """Store each weight once, and forget where on this machine each line of the source was.

    The exporter lays a weight out anew at every use, and a cycle of thought uses it many times.
    """
    passes = needed("onnx_ir.passes.common")
    passes.DeduplicateInitializersPass(size_limit=MOST_BYTES)(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.ClearMetadataAndDocStringPass()(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about its own code and about packages that it does not need here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
