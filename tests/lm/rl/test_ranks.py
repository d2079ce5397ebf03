"""Ranks that share the completions of a batch have the gradient of the whole batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parent / "gradient_over_ranks.py"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Completions of unequal lengths, read in a different number of parts; and a rank that has nothing to learn from:
    without a gradient of zeros from it, the other one would wait for ever."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert subprocess.run([sys.executable, str(SCRIPT), str(one)], env=ONE_THREAD, timeout=60).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*torchrun, str(SCRIPT), str(two)], env=ONE_THREAD, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    shares = sorted(path.name for path in one.iterdir())
    assert shares == ["3", "8"]
    for share in shares:
        wanted, got = load_file(one / share), load_file(two / share)
        assert wanted.keys() == got.keys()
        for name, gradient in wanted.items():
            assert gradient.abs().max() > 0
            scale = float(gradient.abs().max())
            torch.testing.assert_close(got[name], gradient, rtol=1e-4, atol=1e-5 * scale)
