"""A model divided over two processes learns what one process learns, and is saved and resumed on any number of them.

The processes are on the CPU, over gloo, in fp32.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from sharded_pretrain import small_run
from small_pretrain import short_recipe, stories

from thinkling.artifacts.run_folder import find_fault
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.text_store import write_text_store
from thinkling.errors import InputError

SCRIPT = Path(__file__).with_name("sharded_pretrain.py")
ROUNDING = 2e-6
"""Weights are below 1, and sums over two processes are rounded in another order."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "store"
    write_text_store(lambda: stories(300), folder, kind=ChatTokenizer, vocab_size=330, validation_share=0.1)
    return folder


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process learns, nothing being divided."""
    run = tmp_path_factory.mktemp("alone") / "run"
    small_run(run, corpus, sharding="none")
    return run


def on_ranks(processes: int, run: Path, corpus: Path, **settings: object) -> str:
    """Train under torchrun; what the run said on standard error."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    finished = subprocess.run(
        [*torchrun, str(SCRIPT), str(run), str(corpus), json.dumps(settings)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def same(one: Path, other: Path, tolerance: float) -> None:
    """The weights that are published, the last ones and their average, and what was logged on the way."""
    for name in (
        "model.safetensors",
        "checkpoints/last/model.safetensors",
        "checkpoints/last/ema.safetensors",
    ):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            torch.testing.assert_close(second[key], tensor, rtol=tolerance, atol=tolerance)
    logged, again = rows(one), rows(other)
    assert logged.keys() == again.keys() == set(range(1, 9))
    for step, row in logged.items():
        for key in ("loss", "grad_norm", "token_accuracy"):
            assert again[step][key] == pytest.approx(row[key], rel=tolerance, abs=tolerance), (step, key)


def rows(run: Path) -> dict[int, dict[str, float]]:
    """The training rows of metrics.jsonl by step."""
    found = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row for row in found if "grad_norm" in row}


def test_one_process_has_nothing_to_divide(corpus: Path, alone: Path, tmp_path: Path) -> None:
    small_run(tmp_path / "run", corpus, sharding="full")
    same(alone, tmp_path / "run", 0.0)
    assert not (tmp_path / "run" / "checkpoints" / "last" / "optimizer_shards").exists()


@pytest.mark.parametrize("optimizer", ["muon", "adam_atan2"])
def test_other_rules_of_update_are_refused(optimizer: str) -> None:
    with pytest.raises(
        InputError, match=f"optimizer {optimizer} with sharding full.*--train.optimizer adamw"
    ):
        short_recipe(sharding="full", optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "checkpointing"), [(2, False), (2, True), (4, False)])
def test_processes_equal_one(
    corpus: Path, alone: Path, tmp_path: Path, processes: int, checkpointing: bool
) -> None:
    """Losses, norms and weights agree; a run folder holds whole weights. Four cannot share 330 tokens evenly."""
    run = tmp_path / "run"
    on_ranks(processes, run, corpus, checkpointing=checkpointing)
    same(alone, run, ROUNDING)
    last = run / "checkpoints" / "last"
    assert find_fault(last) is None
    parts = sorted((last / "optimizer_shards").iterdir())
    assert len(parts) == processes
    values = sum(tensor.numel() for tensor in load_file(last / "model.safetensors").values())
    for part in parts:
        held = sum(tensor.numel() for tensor in load_file(part).values())
        assert held == pytest.approx(2 * values / processes, rel=0.05), (
            "two moments, of this rank's part only"
        )


@pytest.mark.slow
def test_stopped_and_resumed(corpus: Path, alone: Path, tmp_path: Path) -> None:
    """Ended after 4 of 8 steps: on two processes, goes on bit for bit; and on one, and back on two, to rounding."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    on_ranks(2, whole, corpus)
    on_ranks(2, run, corpus, steps=4)
    on_ranks(2, run, corpus, resume=True)
    same(whole, run, 0.0)
    other = tmp_path / "other"
    on_ranks(2, other, corpus, steps=4)
    small_run(other, corpus, steps=6, sharding="none", resume=True)
    assert not (other / "checkpoints" / "last" / "optimizer_shards").exists()
    on_ranks(2, other, corpus, resume=True)
    same(alone, other, ROUNDING)


@pytest.mark.slow
def test_poison_on_one_process_stops_all_and_rolls_back(corpus: Path, tmp_path: Path) -> None:
    """An infinite gradient on one rank in steps 5 to 7: no rank updates, and all take the weights of step 4 again."""
    run, four = tmp_path / "run", tmp_path / "four"
    on_ranks(2, four, corpus, steps=4)
    said = on_ranks(2, run, corpus, steps=7, poison=[10, 12, 14], log_every=20)
    assert said.count("is not finite; no update") == 3
    assert "rolled back to those of step 4" in said
    first, second = (load_file(path / "checkpoints" / "last" / "model.safetensors") for path in (four, run))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
