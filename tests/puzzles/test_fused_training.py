"""Training with fused kernels is the training with plain operations; where they do not work it says so at once."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_run import short_recipe
from test_compiled import RECIPES, SIZES

from thinkling.errors import InputError
from thinkling.puzzles import benchmarks
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.train import train_recipe
from thinkling.puzzles.trm import TRMConfig
from thinkling.training.config import TrainConfig


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed; on Linux the dev extra has it (pip install triton)",
)
@pytest.mark.parametrize("name", ["hrm", "trm"])
def test_fused_and_plain_steps_agree(name: str, data: Path) -> None:
    """20 steps in fp32, as close as a compiled segment is."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fused_training.py")), str(data), name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["losses"]) == 20
    assert found["losses"] == pytest.approx(found["plain_losses"], rel=1e-5)
    assert found["losses"] != found["plain_losses"], "plain operations twice would prove nothing"
    assert found["apart"] < 1e-4 * found["moved"]


def test_asked_for_where_it_does_not_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fused kernels on cpu"):
        train_recipe(short_recipe(2, fused="on"), data, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_benchmark_compares_with_plain_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run on a GPU says what the kernels are worth; where there are none it measures nothing twice."""
    tiny = replace(RECIPES["trm"], model=TRMConfig(**SIZES | {"vocab_size": 11, "seq_len": 81}))
    monkeypatch.setattr(benchmarks, "recipe_named", lambda name: tiny)
    chosen: list[str] = []

    def loop(objective: PuzzleObjective, config: TrainConfig) -> Callable[[int], None]:
        chosen.append(config.fused)
        return lambda number: None

    def measured(loops: dict[str, Callable[[int], None]], **_: object) -> dict[str, dict[str, float]]:
        return {name: {"times_first": 1.0} for name in loops}

    monkeypatch.setattr(benchmarks, "training_loop", loop)
    monkeypatch.setattr(benchmarks, "speeds_of", measured)
    found = benchmarks.bench_training(("trm-mlp",), batch_size=2, steps=1, device="cpu")
    assert (found["fused"], chosen) == (False, ["auto"])
    monkeypatch.setattr(benchmarks, "fault_on", lambda device: None)
    found = benchmarks.bench_training(("trm-mlp",), batch_size=2, steps=1, device="cpu")
    assert (found["fused"], chosen) == (True, ["auto", "auto", "off"])
    assert found["models"]["trm-mlp"]["unfused"] == {"times_plain": 1.0}
