"""Where a result comes from: versions, data, hardware, date. No paths, no names of people or machines."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import thinkling


def provenance(data_sha256: str | None = None) -> dict[str, Any]:
    """Facts to store beside a result, as JSON."""
    return {
        "thinkling": getattr(thinkling, "__version__", "unknown"),
        "commit": _commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "hardware": hardware(),
        "data_sha256": data_sha256,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, threads torch uses, and the GPU if there is one."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _commit() -> str | None:
    """Commit of the source tree this package runs from, marked if changed; None for an installed one."""
    root = Path(thinkling.__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
