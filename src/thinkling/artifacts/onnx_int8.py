"""Weights of an ONNX file in 8 bits: a quarter of the size, at the same speed.

Each matrix becomes whole numbers from -127 to 127 with one fp32 scale for each of its rows or columns, whichever is
the more exact; products stay in fp32. A recursive model repeats every rounding of a value many times, so values are
left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.artifacts.onnx_file import needed
from thinkling.artifacts.run_folder import cannot_write, write_whole

LEAST_SIZE = 1024
"""Matrices with fewer values stay as they are: what they would save is less than a network packet."""
_READERS = {"MatMul", "Gemm", "Gather", "Split", "Transpose", "Expand"}
"""Operators that read a weight. Tables of another use, such as those of rotary positions, stay as they are."""
_LARGEST = 127


def write_int8(source: Path, path: Path) -> None:
    """Write a file with the same graph and its matrices in 8 bits, whole or not at all.

    Args:
        source: a file written by `write_graph`.
        path: the file; an existing one is replaced.

    Raises:
        InputError: the package onnx is missing.
        ThinklingError: the disk refuses.
    """
    onnx = needed("onnx")
    arrays = needed("onnx.numpy_helper")
    model = onnx.load(str(source))
    graph = model.graph
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    stored: list[Any] = []
    widened: list[Any] = []
    for tensor in graph.initializer:
        values = arrays.to_array(tensor)
        if (
            values.dtype != np.float32
            or values.ndim != 2
            or values.size < LEAST_SIZE
            or not readers.get(tensor.name, set()) <= _READERS
        ):
            stored.append(tensor)
            continue
        whole, scale, axis = rounded(values)
        names = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
        stored += [arrays.from_array(part, name) for part, name in zip((whole, scale), names, strict=True)]
        widened.append(onnx.helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(widened + nodes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: onnx.save(model, str(temporary)))
    except OSError as error:
        raise cannot_write(path, error) from error


def rounded(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32], int]:
    """A matrix as whole numbers, one scale for each place along an axis, and that axis.

    The values are about the whole numbers times the scales; the axis is the one with the smaller sum of squared errors.
    """
    best: tuple[NDArray[np.int8], NDArray[np.float32], int] | None = None
    least = np.inf
    for axis in (0, 1):
        across = 1 - axis
        scale = (np.abs(values).max(axis=across, keepdims=True) / _LARGEST).astype(np.float32)
        scale[scale == 0] = 1  # a row of zeros
        whole = np.rint(values / scale).astype(np.int8)
        error = float(np.square(values - whole * scale, dtype=np.float64).sum())
        if best is None or error < least:
            best, least = (whole, scale.reshape(-1), axis), error
    assert best is not None
    return best
