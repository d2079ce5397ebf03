"""Triton kernels of `nn/fused.py`, and how they are launched; imported when a kernel is first needed.

Arithmetic is fp32 whatever the dtype of the tensors. Forward, what PyTorch's operations round on the way is rounded:
the sum, the scale and SiLU. Gradients are rounded once, at the end.

Shapes: O outer, N numbers that a norm is taken over, K norms side by side (1 where that is over the last dimension);
every tensor is [O, N, K] and contiguous.
"""

# Kernels are written in Triton's language, which has no types, and whose names are there with Triton only.
# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call,name-defined"

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor


def _imported(name: str) -> Any:
    """A module, or None: this one can be imported all the same, and whoever wants a kernel is told."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


triton, tl = _imported("triton"), _imported("triton.language")
_jit: Any = (lambda kernel: kernel) if triton is None else triton.jit

_TILE = 8192
"""Most numbers of one tensor that a program holds, all of them in registers."""
_ACROSS = (8, 32)
"""Fewest and most neighbouring norms of a program, where a norm's own numbers are not neighbours in memory: 16 to 64
bytes in bf16."""
_ELEMENTWISE = 1024
"""Numbers in a program where each stands for itself."""
_NUMBERS_IN_A_WARP = 256
"""Eight numbers of each thread: 16 bytes in bf16, the widest load."""


@_jit
def _tile(N: tl.constexpr, K: tl.constexpr, ALONG: tl.constexpr, ACROSS: tl.constexpr):
    # Where the numbers of this program's norms are, and which of them there are. [ACROSS, ALONG]
    along = tl.arange(0, ALONG)[None, :]
    across = tl.arange(0, ACROSS)[:, None]
    if K > 1:  # adding a zero that the compiler cannot see would cost the wide loads
        across += tl.program_id(1) * ACROSS
    place = tl.program_id(0).to(tl.int64) * N * K + along * K + across
    return place, (along < N) & (across < K)


@_jit
def _summed(x, residual, place, there):
    total = tl.load(x + place, there, 0.0).to(tl.float32)
    total += tl.load(residual + place, there, 0.0).to(tl.float32)
    return total.to(x.dtype.element_ty).to(tl.float32)


@_jit
def _norm_forward(
    x, residual, out, eps, N: tl.constexpr, K: tl.constexpr, ALONG: tl.constexpr, ACROSS: tl.constexpr
):
    dtype = out.dtype.element_ty
    place, there = _tile(N, K, ALONG, ACROSS)
    summed = _summed(x, residual, place, there)
    scale = tl.rsqrt(tl.sum(summed * summed, 1) / N + eps).to(dtype).to(tl.float32)
    tl.store(out + place, (summed * scale[:, None]).to(dtype), there)


@_jit
def _norm_backward(
    x, residual, grad, out, eps, N: tl.constexpr, K: tl.constexpr, ALONG: tl.constexpr, ACROSS: tl.constexpr
):
    # With s the sum, r = 1/sqrt(mean(s²) + eps) and g the gradient of the norm: g r - s r³ mean(g s).
    dtype = out.dtype.element_ty
    place, there = _tile(N, K, ALONG, ACROSS)
    summed = _summed(x, residual, place, there)
    g = tl.load(grad + place, there, 0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(summed * summed, 1) / N + eps)
    shrink = scale * scale * scale * (tl.sum(g * summed, 1) / N)
    rounded = scale.to(dtype).to(tl.float32)
    tl.store(out + place, (g * rounded[:, None] - summed * shrink[:, None]).to(dtype), there)


@_jit
def _gated_forward(gate, up, out, size, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < size
    dtype = out.dtype.element_ty
    g = tl.load(gate + place, there, 0.0).to(tl.float32)
    u = tl.load(up + place, there, 0.0).to(tl.float32)
    silu = (g / (1.0 + tl.exp(-g))).to(dtype).to(tl.float32)
    tl.store(out + place, (silu * u).to(dtype), there)


@_jit
def _gated_backward(gate, up, grad, grad_gate, grad_up, size, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < size
    dtype = grad_gate.dtype.element_ty
    g = tl.load(gate + place, there, 0.0).to(tl.float32)
    u = tl.load(up + place, there, 0.0).to(tl.float32)
    d = tl.load(grad + place, there, 0.0).to(tl.float32)
    share = 1.0 / (1.0 + tl.exp(-g))
    silu = (g * share).to(dtype).to(tl.float32)
    tl.store(grad_up + place, (d * silu).to(dtype), there)
    tl.store(grad_gate + place, (d * u * share * (1.0 + g * (1.0 - share))).to(dtype), there)


def check_triton() -> None:
    """Raises ImportError where there is no Triton."""
    if triton is None:
        raise ImportError("Triton is not installed, or cannot be imported")


def fits(n: int, inner: int) -> bool:
    """Whether a program can hold a norm over `n` numbers with `inner` others beside each."""
    return _along(n) * _across(n, inner) <= _TILE


def norm_forward(x: Tensor, residual: Tensor, out: Tensor, dim: int, eps: float) -> None:
    """`out` = the root mean square norm of `x + residual` over `dim`."""
    _launch_norm(_norm_forward, (x, residual, out), dim, eps)


def norm_backward(x: Tensor, residual: Tensor, grad: Tensor, out: Tensor, dim: int, eps: float) -> None:
    """`out` = the gradient of `x`, and of `residual`, for the gradient of the norm."""
    _launch_norm(_norm_backward, (x, residual, grad, out), dim, eps)


def gated_forward(gate: Tensor, up: Tensor, out: Tensor) -> None:
    """`out` = silu(gate) * up; `out` may be `gate`."""
    _launch_elementwise(_gated_forward, (gate, up, out))


def gated_backward(gate: Tensor, up: Tensor, grad: Tensor, grad_gate: Tensor, grad_up: Tensor) -> None:
    """`grad_gate` and `grad_up` = the gradients for that of silu(gate) * up."""
    _launch_elementwise(_gated_backward, (gate, up, grad, grad_gate, grad_up))


def _launch_norm(kernel: Any, tensors: tuple[Tensor, ...], dim: int, eps: float) -> None:
    shape = tensors[0].shape
    n, inner = shape[dim], shape[dim + 1 :].numel()
    along, across = _along(n), _across(n, inner)
    with torch.cuda.device_of(tensors[0]):  # Triton launches on the current device
        kernel[shape[:dim].numel(), -(-inner // across)](
            *tensors, eps, N=n, K=inner, ALONG=along, ACROSS=across, num_warps=_warps(along * across)
        )


def _launch_elementwise(kernel: Any, tensors: tuple[Tensor, ...]) -> None:
    size = tensors[0].numel()
    with torch.cuda.device_of(tensors[0]):
        kernel[(-(-size // _ELEMENTWISE),)](
            *tensors, size, BLOCK=_ELEMENTWISE, num_warps=_warps(_ELEMENTWISE)
        )


def _along(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _across(n: int, inner: int) -> int:
    fewest, most = _ACROSS
    return 1 if inner == 1 else max(fewest, min(most, _TILE // _along(n)))


def _warps(numbers: int) -> int:
    return max(1, min(16, numbers // _NUMBERS_IN_A_WARP))
