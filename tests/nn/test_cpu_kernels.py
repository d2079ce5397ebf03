"""Kernels made by the machine's compiler: the plain formulas' numbers at every size, and a word where there is none."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from thinkling.errors import InputError
from thinkling.nn.cpu_kernels import CpuKernels, cpu_kernels
from thinkling.nn.norm import rms_norm
from thinkling.nn.rope import rope_tables, rotate

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-8}
"""Of numbers up to about 1; half a unit in the last place of bf16 is 2^-9 of the number."""
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++", "c++")), reason="no C++ compiler here"
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def off(found: Tensor, expected: Tensor) -> float:
    """Largest distance, relative for numbers above 1."""
    return float(((found.float() - expected).abs() / expected.abs().clamp(min=1)).max())


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 40, 256])
def test_norm_and_product(dtype: torch.dtype, width: int) -> None:
    kernels = cpu_kernels(CPU, dtype)
    x, weight = noise(300, 1, width).to(dtype), noise(width, seed=1).to(dtype)
    assert off(kernels.norm(x, weight, 1e-6), rms_norm(x.float(), 1e-6) * weight.float()) < TOLERANCE[dtype]
    both = 3 * noise(70, 2 * width).to(dtype)
    both[0, 0], both[0, width] = -1000.0, 1.0  # e^1000 is infinite, and silu(-1000) is 0
    gate, value = both.float().chunk(2, -1)
    assert off(kernels.gated(both), F.silu(gate) * value) < TOLERANCE[dtype]


def by_formula(
    kernels: CpuKernels, dtype: torch.dtype, heads: tuple[int, int, int], new: int, capacity: int
) -> tuple[float, float]:
    """How far the kernel is from softmax(q k / sqrt(E)) v in fp32, and the cache from what was to be kept."""
    queries, kv_heads, size = heads
    lengths = torch.tensor([capacity - new, 0, 5])
    together = noise(3, new, queries + 2 * kv_heads, size).to(dtype)
    weights = noise(queries + kv_heads, size, seed=1).to(dtype)
    keys, values = (noise(3, kv_heads, capacity, size, seed=seed).to(dtype) for seed in (2, 3))
    turned_keys = keys.mT.contiguous()
    tables = rope_tables(torch.arange(capacity), size, 10_000.0)
    places = lengths[:, None] + torch.arange(new)
    both = queries + kv_heads
    normed = rms_norm(together[:, :, :both].float(), 1e-6) * weights.float()
    turned = rotate(normed, tables[0][places], tables[1][places])
    expected = torch.zeros(3, new, queries, size)
    for row in range(3):
        keys[row, :, places[row]] = turned[row, :, queries:].transpose(0, 1).to(dtype)
        values[row, :, places[row]] = together[row, :, both:].transpose(0, 1)
    kept_values = noise(3, kv_heads, capacity, size, seed=3).to(dtype)
    found = kernels.attend(together, weights, tables, turned_keys, kept_values, lengths, 1e-6)
    for row in range(3):
        for position in range(new):
            seen = int(places[row, position]) + 1
            for head in range(queries):
                group = head // (queries // kv_heads)
                scores = keys[row, group, :seen].float() @ turned[row, position, head] / size**0.5
                expected[row, position, head] = scores.softmax(0) @ values[row, group, :seen].float()
    kept = max(off(turned_keys.mT, keys.float()), off(kept_values, values.float()))
    return off(found, expected), kept


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "new", "capacity"),
    [
        ((4, 2, 64), 1, 128),
        ((4, 2, 64), 3, 100),  # no whole number of vectors
        ((3, 3, 8), 1, 9),  # less than a vector
        ((6, 2, 40), 2, 33),
        ((5, 1, 32), 1, 64),  # four query heads together, and one more
    ],
)
def test_attention(dtype: torch.dtype, heads: tuple[int, int, int], new: int, capacity: int) -> None:
    mixed, kept = by_formula(cpu_kernels(CPU, dtype), dtype, heads, new, capacity)
    assert mixed < 4 * TOLERANCE[dtype]
    assert kept < 2 * TOLERANCE[dtype]


@needs_compiler
def test_one_thread_and_two_say_the_same() -> None:
    kernels, threads = cpu_kernels(CPU, torch.float32), torch.get_num_threads()
    x, weight = noise(512, 256), noise(256, seed=1)
    try:
        told = []
        for number in (1, 2):
            torch.set_num_threads(number)
            told.append((kernels.norm(x, weight, 1e-6), kernels.gated(x)))
            assert by_formula(kernels, torch.float32, (4, 2, 64), 40, 128)[0] < 1e-5
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*told, strict=True))


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.bfloat16), ("cpu", torch.float16)])
def test_another_device_or_dtype(device: str, dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=f"--compile on {device}.*leave --compile out"):
        cpu_kernels(torch.device(device), dtype)
