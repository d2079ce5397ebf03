"""Which device and which dtype to compute in, decided by measuring."""

from __future__ import annotations

import functools
import statistics
import time
from typing import Literal

import torch

from thinkling.errors import InputError, nearest

ComputeDtype = Literal["auto", "float32", "bfloat16"]
"""`auto` measures: bfloat16 where its matrix products are at least a quarter faster than float32's."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WORTHWHILE = 1.25


def pick_device(name: str = "auto") -> torch.device:
    """`auto`: the first accelerator, else the CPU; otherwise the named device.

    Raises:
        InputError: the device does not exist on this machine.
    """
    present = ["cpu"]
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if name == "auto":
        return torch.device(present[0])
    if name.split(":")[0] not in present:
        raise InputError(
            f"device {name!r}", f"auto, {', '.join(present)} on this machine", nearest(name, present)
        )
    return torch.device(name)


def measure_matmul(device: torch.device, dtype: torch.dtype, size: int = 2048, seconds: float = 0.5) -> float:
    """Median rate of a square matrix product in FLOP/s (2 * size^3 per product)."""
    left = torch.ones(size, size, device=device, dtype=dtype)
    product = left @ left
    taken: list[float] = []
    while sum(taken) <= seconds:
        _wait(device)
        start = time.perf_counter()
        torch.mm(left, left, out=product)
        _wait(device)
        taken.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(taken)


@functools.lru_cache
def choose_dtype(device: torch.device) -> torch.dtype:
    """The dtype for matrix products on this device; on a CPU by a probe of about 50 ms."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type != "cpu":
        return torch.float32
    rates = {dtype: measure_matmul(device, dtype, size=512, seconds=0.02) for dtype in _DTYPES.values()}
    return torch.bfloat16 if rates[torch.bfloat16] > _WORTHWHILE * rates[torch.float32] else torch.float32


def resolve_dtype(name: ComputeDtype, device: torch.device) -> torch.dtype:
    """The dtype a setting stands for on a device."""
    return choose_dtype(device) if name == "auto" else _DTYPES[name]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
