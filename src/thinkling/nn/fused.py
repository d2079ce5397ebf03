"""Residual plus norm, and SwiGLU's product, as one Triton kernel each way: used on a GPU, where that is wanted.

`norm.add_rms_norm` and `feed_forward.gated` ask `wanted` and otherwise do the same in plain operations, which is what
happens on every other device, for other dtypes, and while `torch.compile` makes a program: it fuses by itself.

Forward a kernel rounds where the plain operations round, so the model is the same function; only the squares of a norm
over positions, which those round one by one, it does not round. Gradients are rounded once instead of after each
operation. The backward pass computes anew from the inputs: no more is kept than in the plain path, for SwiGLU a tensor
less.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from thinkling.errors import InputError
from thinkling.nn.precision import choose_dtype

FusedKernels = Literal["auto", "on", "off"]
"""auto: where they work; on: an error where they do not; off: plain operations."""

_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_on = False
"""Of the process and not of a thread: PyTorch runs what a checkpointed layer does again in a thread of its own."""


@contextlib.contextmanager
def fused_kernels(choice: FusedKernels, device: torch.device) -> Iterator[bool]:
    """A block in which the kernels are used, or not; outside of any they are not. Gives whether they are.

    Raises:
        InputError: they are to be used and do not work on the device.
    """
    global _on
    fault = "not wanted" if choice == "off" else fault_on(device)
    if choice == "on" and fault is not None:
        raise InputError(
            f"fused kernels on {device} ({fault})",
            "a GPU, Triton, and a C compiler, which Triton needs",
            "leave train.fused at auto, or install what is missing",
        )
    before, _on = _on, fault is None
    try:
        yield _on
    finally:
        _on = before


@functools.cache
def fault_on(device: torch.device) -> str | None:
    """Why the kernels cannot be used on a device, or None: they are tried there, and compared with plain formulas.

    Triton's interpreter (TRITON_INTERPRET=1) makes a CPU such a device too: very slow, and good for a test.
    """
    if device.type != "cuda" and not (device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"):
        return "not a GPU that Triton makes kernels for"
    with torch.inference_mode(False), torch.enable_grad():  # wherever it is asked for
        return _fault_on(device)


def _fault_on(device: torch.device) -> str | None:
    from thinkling.nn import triton_kernels

    ramp = torch.linspace(-2.0, 2.0, 96, device=device).view(2, 48)
    one = ramp.to(choose_dtype(device), copy=True).requires_grad_()
    other = ramp.flip(-1).to(one.dtype).requires_grad_()
    try:
        triton_kernels.check_triton()
        normed, product = add_rms_norm(one, other, 1e-5, dim=1), gated(one, other)
        gradients = torch.autograd.grad((normed * ramp).sum() + product.sum(), (one, other))
    except Exception as error:  # no Triton, no C compiler, an unknown GPU: each fails with one of its own
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    wide = [tensor.detach().float().requires_grad_() for tensor in (one, other)]
    total = wide[0] + wide[1]
    expected = total * torch.rsqrt(total.square().mean(1, keepdim=True) + 1e-5), F.silu(wide[0]) * wide[1]
    exact = torch.autograd.grad((expected[0] * ramp).sum() + expected[1].sum(), wide)
    for found, formula in zip((normed, product, *gradients), (*expected, *exact), strict=True):
        if not torch.allclose(found.float(), formula, rtol=0.05, atol=0.05):
            return "they compute something else"
    return None


def wanted(*tensors: Tensor) -> bool:
    """Whether kernels are to work on these tensors: on a device and of a dtype they know, and all of one shape."""
    if torch.compiler.is_compiling() or not _on:
        return False
    first = tensors[0]
    return (
        first.dtype in _DTYPES
        and first.numel() > 0
        and fault_on(first.device) is None
        and all(
            # A subclass (a part of a tensor on several devices, one without values) is not plain memory.
            type(each) is Tensor
            and (each.shape, each.dtype, each.device) == (first.shape, first.dtype, first.device)
            for each in tensors
        )
    )


def norm_fits(x: Tensor, dim: int) -> bool:
    """Whether a kernel can hold norms over a dimension of this length."""
    from thinkling.nn import triton_kernels

    return triton_kernels.fits(x.shape[dim], x.shape[dim:][1:].numel())


def add_rms_norm(x: Tensor, residual: Tensor, eps: float, *, dim: int = -1) -> Tensor:
    """`norm.rms_norm(x + residual)` by a kernel; two tensors for which `wanted` and `norm_fits` hold."""
    out: Tensor = _AddRMSNorm.apply(x, residual, eps, dim % x.ndim)  # type: ignore[no-untyped-call]  # torch's
    return out


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up` by a kernel; two tensors for which `wanted` holds. Without gradient it reuses `gate`."""
    if torch.is_grad_enabled() and (gate.requires_grad or up.requires_grad):
        out: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        return out
    from thinkling.nn import triton_kernels

    gate = gate.contiguous()
    triton_kernels.gated_forward(gate, up.contiguous(), gate)
    return gate


class _AddRMSNorm(torch.autograd.Function):
    """Keeps both inputs: the second is one that the layer before it keeps too, so this is one tensor, as in the plain
    path."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, eps: float, dim: int) -> Tensor:
        from thinkling.nn import triton_kernels

        x, residual = x.contiguous(), residual.contiguous()
        ctx.save_for_backward(x, residual)
        ctx.eps, ctx.dim = eps, dim
        out = torch.empty_like(x)
        triton_kernels.norm_forward(x, residual, out, dim, eps)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        from thinkling.nn import triton_kernels

        x, residual = ctx.saved_tensors
        out = torch.empty_like(x)
        triton_kernels.norm_backward(x, residual, grad.contiguous(), out, ctx.dim, ctx.eps)
        return out, out, None, None


class _Gated(torch.autograd.Function):
    """Keeps `gate` and `up`; the plain path keeps silu(gate) as well."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        from thinkling.nn import triton_kernels

        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        triton_kernels.gated_forward(gate, up, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        from thinkling.nn import triton_kernels

        gate, up = ctx.saved_tensors
        grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
        triton_kernels.gated_backward(gate, up, grad.contiguous(), grad_gate, grad_up)
        return grad_gate, grad_up
