"""Matrices in 8 bits: small, and as near as whole numbers can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from thinkling.artifacts.onnx_file import open_session
from thinkling.artifacts.onnx_int8 import rounded, write_int8


def test_the_axis_with_the_smaller_error_is_taken() -> None:
    values = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    values[3] *= 1000
    whole, scale, axis = rounded(values)
    assert (whole.dtype, axis, scale.shape) == (np.int8, 0, (40,))
    assert np.abs(whole * scale[:, None] - values).max(axis=1) == pytest.approx(scale / 2, rel=0.2)
    other, widths, turned = rounded(values.T.copy())
    assert turned == 1
    np.testing.assert_array_equal(other, whole.T)
    np.testing.assert_array_equal(widths, scale)


def test_a_row_of_zeros_stays_one() -> None:
    values = np.zeros((4, 5), dtype=np.float32)
    values[1] = 1
    whole, scale, axis = rounded(values)
    np.testing.assert_allclose(whole * np.expand_dims(scale, 1 - axis), values)


def test_only_what_products_read_is_rounded(tmp_path: Path) -> None:
    """A table that is added, such as one of positions, stays as it is, and so does a small matrix."""
    generator = np.random.default_rng(0)
    tables = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in {"weight": (64, 64), "table": (64, 64), "small": (64, 4)}.items()
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("Add", ["product", "table"], ["sum"]),
            helper.make_node("MatMul", ["sum", "small"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, 4])],
        [numpy_helper.from_array(values, name) for name, values in tables.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "exact.onnx")
    write_int8(tmp_path / "exact.onnx", tmp_path / "deeper" / "small.onnx")
    smaller = onnx.load(tmp_path / "deeper" / "small.onnx")
    onnx.checker.check_model(smaller)
    names = [tensor.name for tensor in smaller.graph.initializer]
    assert names == ["weight.int8", "weight.scale", "table", "small"]
    x = generator.normal(size=(64, 64)).astype(np.float32)
    exact, near = (
        open_session(path, threads=1).run(None, {"x": x})[0]
        for path in (tmp_path / "exact.onnx", tmp_path / "deeper" / "small.onnx")
    )
    assert 0 < np.abs(exact - near).max() < 0.02 * np.abs(exact).max()
