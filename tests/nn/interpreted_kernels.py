"""Checks of the fused kernels in Triton's interpreter, which runs them on CPU tensors with NumPy.

A process of its own, since the interpreter has to be chosen before Triton is imported. Prints what went wrong in each
check, as JSON; null: nothing.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import pytest
import torch
from torch import Tensor

from thinkling.nn import fused
from thinkling.nn.block import Block
from thinkling.nn.feed_forward import gated
from thinkling.nn.norm import add_rms_norm

EPS = 1e-5
CPU = torch.device("cpu")
SHAPES = [(1, 1, 1), (3, 5, 7), (2, 33, 40), (1, 3, 192)]
HALVES = [torch.bfloat16, torch.float16]


def drawn(*shape: int, count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def both_ways(operation: Callable[..., Tensor], inputs: list[Tensor], weight: Tensor) -> tuple[Any, Any]:
    """Result and gradients in plain operations, and of the kernels."""
    found = []
    for choice in ("off", "on"):
        leaves = [each.detach().clone().requires_grad_() for each in inputs]
        with fused.fused_kernels(choice, CPU):
            out = operation(leaves[0] * 1, leaves[1])  # a leaf may not be changed in place
        assert ("_AddRMSNorm" in out.grad_fn.name() or "_Gated" in out.grad_fn.name()) == (choice == "on")
        found.append((out.detach(), *torch.autograd.grad(out, leaves, weight)))
    return found[0], found[1]


def operations() -> list[Callable[..., Tensor]]:
    return [
        lambda one, other: add_rms_norm(one, other, EPS),
        lambda one, other: add_rms_norm(one, other, EPS, dim=1),
        gated,
    ]


def check_not_imported_before_needed() -> None:
    assert "triton" not in sys.modules


def check_fp32() -> None:
    for shape in SHAPES:
        one, other, weight = drawn(*shape)
        for operation in operations():
            plain, kernel = both_ways(operation, [one, other], weight)
            torch.testing.assert_close(kernel, plain, rtol=1e-6, atol=1e-6)


def check_half_rounds_forward_as_plain_operations_do() -> None:
    for dtype in HALVES:
        one, other, weight = (each.to(dtype) for each in drawn(3, 33, 24))
        for operation in (operations()[0], gated):
            plain, kernel = both_ways(operation, [one, other], weight)
            last_bit = torch.finfo(dtype).eps
            torch.testing.assert_close(kernel[0], plain[0], rtol=last_bit, atol=1e-6)
            # An fp32 scale or exponential that is a little different falls on the other side now and then.
            assert (kernel[0] == plain[0]).float().mean() > 0.97
        # Over positions the plain norm rounds the squares before it adds them; the kernel does not.
        plain, kernel = both_ways(operations()[1], [one, other], weight)
        torch.testing.assert_close(kernel[0], plain[0], rtol=2 * last_bit, atol=1e-6)


def check_half_gradients_are_no_further_from_fp32_than_plain_ones() -> None:
    for dtype in HALVES:
        half = [each.to(dtype) for each in drawn(3, 33, 24)]
        for operation in operations():
            plain, kernel = both_ways(operation, half[:2], half[2])
            exact, _ = both_ways(operation, [each.float() for each in half[:2]], half[2].float())
            for ours, theirs, true in zip(kernel[1:], plain[1:], exact[1:], strict=True):
                assert ours.dtype == dtype
                far = (ours.float() - true).norm()
                assert far <= 1.02 * (theirs.float() - true).norm()
                assert far <= torch.finfo(dtype).eps * true.norm()


def check_any_strides() -> None:
    one, other, weight = (each.transpose(1, 2) for each in drawn(3, 5, 7))
    assert not one.is_contiguous()
    for operation in operations():
        plain, kernel = both_ways(operation, [one, other], weight)
        torch.testing.assert_close(kernel, plain, rtol=1e-6, atol=1e-6)
        same = torch.ones(1, 1, 1).expand(one.shape)  # the gradient of a sum
        plain, kernel = both_ways(operation, [one[:, ::2], other[:, ::2]], same[:, ::2])
        torch.testing.assert_close(kernel, plain, rtol=1e-6, atol=1e-6)


def check_without_gradient() -> None:
    one, other, _ = drawn(2, 5, 7)
    for operation in operations():
        with torch.no_grad():
            plain = operation(one.clone(), other)
            with fused.fused_kernels("on", CPU):
                torch.testing.assert_close(operation(one.clone(), other), plain, rtol=1e-6, atol=1e-6)
    with torch.no_grad(), fused.fused_kernels("on", CPU):
        assert gated(one, other).data_ptr() == one.data_ptr(), "the memory of the gate is used again"


def check_no_second_derivative() -> None:
    one, weight = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    for operation in operations():
        with fused.fused_kernels("on", CPU):
            (gradient,) = torch.autograd.grad(operation(one * 1, one), one, weight, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiate twice"):
            gradient.sum().backward()


def check_only_tensors_that_a_kernel_knows() -> None:
    x = torch.ones(2, 3)
    assert not fused.wanted(x, x), "not outside of a block"
    with fused.fused_kernels("auto", CPU):
        assert fused.wanted(x, x)
        for other in (x.double(), x.half(), x[:1], torch.nn.Parameter(x), x.to("meta")):
            assert not fused.wanted(x, other)
        assert not fused.wanted(x.double(), x.double())
        assert not fused.wanted(x[:0], x[:0])
        long = torch.ones(1, 8193)
        torch.testing.assert_close(add_rms_norm(long.clone(), long, EPS), long)
        assert fused.norm_fits(long[:, 1:], -1)
        assert not fused.norm_fits(long, -1)
        assert fused.norm_fits(torch.ones(1, 1024, 2), 1)
        assert not fused.norm_fits(torch.ones(1, 1025, 2), 1)


def check_kept_for_the_backward_pass() -> None:
    """No more than in plain operations, and for each SwiGLU one tensor of the inner width less."""
    for mixing, swiglus in (("attention", 1), ("mlp", 2)):
        sizes: dict[str, Any] = {
            "width": 16,
            "heads": 2,
            "positions": 16,
            "grid": (4, 4),
            "inner_multiple": 16,
        }
        block = Block(**sizes, expansion=4, mixing=mixing, norm_eps=EPS)
        for parameter in block.parameters():
            torch.nn.init.constant_(parameter, 0.1)
        kept = {}
        for choice in ("off", "on"):
            # The tensors are held on to: memory that is free again may be that of the next one.
            storages: dict[int, Tensor] = {}

            def remember(tensor: Tensor, storages: dict[int, Tensor] = storages) -> Tensor:
                storages[tensor.untyped_storage().data_ptr()] = tensor
                return tensor

            x = drawn(3, 16, 16)[0].requires_grad_()
            with (
                fused.fused_kernels(choice, CPU),
                torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor),
            ):
                block(x * 1, None)
            kept[choice] = sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
        inner = block.mlp.down_proj.weight.shape[1]
        assert kept["on"] <= kept["off"] - swiglus * 3 * 16 * inner * 4, kept


def check_a_kernel_that_does_not_work_is_not_used() -> None:
    from thinkling.nn import triton_kernels

    right = triton_kernels.gated_backward
    triton_kernels.gated_backward = lambda *tensors: [each.zero_() for each in tensors[-2:]]
    fused.fault_on.cache_clear()
    assert fused.fault_on(CPU) == "they compute something else"
    with fused.fused_kernels("auto", CPU) as used:
        assert not used
    triton_kernels.gated_backward = right
    fused.fault_on.cache_clear()
    with torch.no_grad():
        assert fused.fault_on(CPU) is None


def round_to_nearest() -> None:
    """The interpreter cuts the bits off that bf16 does not have; a GPU rounds to the nearest."""
    import triton.language as tl
    from triton.runtime import interpreter

    ordinary = interpreter._convert_float

    def nearest(data: Any, source: Any, target: Any, mode: Any) -> Any:
        if (source, target) != (tl.float32, tl.bfloat16):
            return ordinary(data, source, target, mode)
        bits = np.ascontiguousarray(data).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)

    interpreter._convert_float = nearest


def main() -> None:
    """Run them all."""
    found: dict[str, str | None] = {}
    for name, check in [pair for pair in globals().items() if pair[0].startswith("check_")]:
        try:
            check()
            found[name.removeprefix("check_")] = None
        except Exception:
            found[name.removeprefix("check_")] = traceback.format_exc()
        if len(found) == 1:
            round_to_nearest()
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # of an exponential, in NumPy
    torch.set_num_threads(1)
    main()
