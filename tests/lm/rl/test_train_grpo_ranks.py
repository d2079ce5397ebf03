"""Two processes under torchrun draw the completions of one, each half of them, and learn the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from small_grpo import rows_of, run, short_recipe, write_start

SCRIPT = Path(__file__).parent / "small_grpo.py"


def test_two_ranks_as_one(tmp_path: Path) -> None:
    """Four steps with two updates a rollout; then one process goes on with what two have saved."""
    folder = write_start(tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, str(SCRIPT), str(folder), str(tmp_path / "two"), "3"],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    run(folder, tmp_path / "one", short_recipe(3, updates_per_rollout=2))
    saved = [
        load_file(tmp_path / name / "checkpoints" / "last" / "slots.safetensors") for name in ("one", "two")
    ]
    assert torch.equal(saved[0]["rollout.tokens"], saved[1]["rollout.tokens"])
    torch.testing.assert_close(saved[0]["measured"].sum(0), saved[1]["measured"].sum(0))
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=1e-5)
    for one, two in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        for name in ("reward", "length", "ratio", "kl", "groups_without_signal"):
            assert abs(one.get(name, 0) - two.get(name, 0)) < 1e-4, name
    again = run(folder, tmp_path / "two", short_recipe(5, updates_per_rollout=2), resume=True)
    assert again.step == 5
