"""`thinkling doctor`: what this machine has and how fast it multiplies matrices."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from typing import Any

import torch

from thinkling import __version__
from thinkling.artifacts.provenance import hardware
from thinkling.cli.arguments import CommandArguments
from thinkling.nn.precision import choose_dtype, measure_matmul, pick_device

GIGA = 1e9


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Versions, devices, dtypes and their measured matrix product rates, threads, disk."""

    device: str = "auto"
    """The device to measure: auto, cpu, cuda or mps."""
    seconds: float = 0.5
    """How long to measure each dtype, in seconds."""


def run(arguments: Arguments) -> dict[str, Any]:
    """Measure this machine.

    Raises:
        InputError: the device does not exist on this machine.
    """
    device = pick_device(arguments.device)
    rates = {
        name: round(measure_matmul(device, dtype, seconds=arguments.seconds) / GIGA, 1)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    chosen = str(choose_dtype(device)).removeprefix("torch.")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
        **hardware(),
        "compute_dtype": chosen,
        "matmul_gflops": rates[chosen],
        "dtypes": rates,
        "disk_free_gb": round(shutil.disk_usage(".").free / GIGA, 1),
    }
