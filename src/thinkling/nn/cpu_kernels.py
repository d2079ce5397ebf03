"""Kernels for a decoder that generates on a CPU, made for its processor by a C++ compiler when they are asked for.

For one new token of each sequence, PyTorch's small operations take longer than a model's matrix products.
`cpu_kernels.cpp` does all that stands between two products at once, in fp32 and with one rounding.

Shapes: r rows, S new positions, N query heads, K key and value heads, E head size, C capacity of the cache.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkling.errors import InputError
from thinkling.native import library

_SOURCE = Path(__file__).with_suffix(".cpp")
_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_VALUES_A_THREAD = 32_768
"""With fewer, another thread costs more than it brings; as PyTorch counts."""


class CpuKernels:
    """Norm, SwiGLU's product and attention over a cache, for contiguous tensors of one dtype. No gradient flows."""

    def __init__(self, library: Any, dtype: torch.dtype) -> None:
        pointer, number, real, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
        self._norm = _function(
            library, f"norm_{_DTYPES[dtype]}", 3 * [pointer], 2 * [number], [real, threads]
        )
        self._gated = _function(library, f"gated_{_DTYPES[dtype]}", 2 * [pointer], 2 * [number], [threads])
        self._attend = _function(
            library, f"attend_{_DTYPES[dtype]}", 8 * [pointer], 6 * [number], [real, threads]
        )

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """`rms_norm(x, eps) * weight`. [..., D] -> [..., D]."""
        out = torch.empty_like(x)
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        self._norm(_at(x), _at(weight), _at(out), rows, width, eps, _threads(x.numel()))
        return out

    def gated(self, x: Tensor) -> Tensor:
        """`silu(gate) * value`, the gates being the first half of the last dimension. [..., 2 I] -> [..., I]."""
        width = x.shape[-1] // 2
        out = x.new_empty(*x.shape[:-1], width)
        self._gated(_at(x), _at(out), out.numel() // width, width, _threads(out.numel()))
        return out

    def attend(
        self,
        heads: Tensor,
        weights: Tensor,
        rotary: tuple[Tensor, Tensor],
        keys: Tensor,
        values: Tensor,
        lengths: Tensor,
        eps: float,
    ) -> Tensor:
        """Norm and rotate queries and keys, keep the new keys and values, let each query look at all up to its own.

        Args:
            heads: [r, S, N + 2 K, E] queries, keys and values of the new positions.
            weights: [N + K, E] of the norms.
            rotary: cosine and signed sine by position, each [C, E] or longer in fp32, as `rope_tables` gives them.
            keys: [r, K, E, C] the cache, which is written to.
            values: [r, K, C, E] the same.
            lengths: [r] positions that are filled before, at most C - S.
            eps: of the norms.

        Returns:
            [r, S, N, E].
        """
        rows, new, together, size = heads.shape
        kv_heads, capacity = values.shape[1:3]
        queries = together - 2 * kv_heads
        assert len(rotary[0]) >= capacity, "a cosine for every position that the cache can hold"
        out = heads.new_empty(rows, new, queries, size)
        pointers = [_at(tensor) for tensor in (heads, weights, *rotary, keys, values, lengths, out)]
        threads = _threads(rows * new * kv_heads * capacity * size)
        self._attend(*pointers, rows, new, queries, kv_heads, size, capacity, eps, threads)
        return out


@functools.cache
def cpu_kernels(device: torch.device, dtype: torch.dtype) -> CpuKernels:
    """The kernels for tensors of a dtype; the first ones in a process take a second.

    Raises:
        InputError: another device or dtype.
        NotCompiledError: there is no compiler, or one that cannot compile them.
    """
    if device.type != "cpu" or dtype not in _DTYPES:
        raise InputError(
            f"--compile on {device.type} in {str(dtype).removeprefix('torch.')}",
            "a CPU, in float32 or bfloat16",
            "leave --compile out, or add: --device cpu",
        )
    return CpuKernels(library(_SOURCE), dtype)


def _function(library: Any, name: str, *arguments: list[Any]) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = None, [kind for kinds in arguments for kind in kinds]
    return function


def _at(tensor: Tensor) -> int:
    assert tensor.is_contiguous(), "the kernels know no other layout"
    return tensor.data_ptr()


def _threads(values: int) -> int:
    return max(1, min(torch.get_num_threads(), values // _VALUES_A_THREAD))
