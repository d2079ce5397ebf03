"""A run that is stopped, killed or spread over processes ends with the weights of a run that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_objective import SmallObjective, run

from thinkling.artifacts.checkpoint import load_checkpoint
from thinkling.errors import InputError
from thinkling.training.objective import Shard

SCRIPT = Path(__file__).with_name("small_objective.py")


def last(path: Path) -> dict[str, torch.Tensor]:
    """Everything that must be equal: weights, average, optimiser, slots."""
    saved = load_checkpoint(path / "checkpoints" / "last")
    parts = {
        "weights": saved.weights,
        "ema": saved.averaged,
        "optimizer": saved.optimizer,
        "slots": saved.slots,
    }
    return {
        f"{part}.{name}": tensor
        for part, tensors in parts.items()
        for name, tensor in (tensors or {}).items()
    }


def assert_same(one: Path, other: Path) -> None:
    a, b = last(one), last(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def stop_at(step: int, number: signal.Signals = signal.SIGTERM) -> SmallObjective:
    objective = SmallObjective()
    objective.at_step = lambda now: os.kill(os.getpid(), number) if now == step else None
    return objective


@pytest.mark.parametrize("optimizer", ["adam_atan2", "adamw"])
def test_200_is_100_and_100(tmp_path, optimizer):
    """Stopped by a signal at step 100, between two checkpoints, and resumed: equal bit for bit."""
    settings = {"steps": 200, "optimizer": optimizer, "checkpoint_every": 30}
    whole = run(tmp_path / "whole", **settings)
    first = run(tmp_path / "parts", objective=stop_at(100), **settings)
    assert (first.step, first.stopped) == (100, "signal")
    second = run(tmp_path / "parts", resume=True, **settings)
    assert (second.step, second.stopped) == (200, "done")
    assert second.metrics == whole.metrics
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c(tmp_path):
    """The first Ctrl-C finishes the step and saves; the second leaves at once. Handlers are given back."""
    before = signal.getsignal(signal.SIGINT)
    assert run(tmp_path / "a", objective=stop_at(7, signal.SIGINT)).step == 7
    twice = SmallObjective()
    twice.at_step = lambda now: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)] if now == 7 else None
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", objective=twice)
    assert signal.getsignal(signal.SIGINT) is before
    assert run(tmp_path / "b", resume=True).stopped == "done"


def _script(*arguments: object, **more: object) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_killed(tmp_path):
    """SIGKILL in the middle of a save, then at a random moment, then a run to the end."""
    run(tmp_path / "whole")
    parts = tmp_path / "parts"
    in_save = _script(parts, "--die-at", 41)
    in_save.communicate()
    assert in_save.returncode == -signal.SIGKILL
    anywhere = _script(parts, "--resume", "--pause", "0.02")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _has_row_after(parts, 31):
        time.sleep(0.01)
    anywhere.kill()
    anywhere.communicate()
    rows = (parts / "metrics.jsonl").read_text()
    (parts / "metrics.jsonl").write_text(rows + '{"step": 99, "kind"')  # as if killed in the middle of a row
    end = _script(parts, "--resume")
    out, err = end.communicate()
    assert json.loads(out) == {"step": 60, "stopped": "done"}, err
    assert_same(tmp_path / "whole", parts)
    rows = [json.loads(line) for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(5, 61, 5))
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [20, 40, 60]


def _has_row_after(path: Path, step: int) -> bool:
    try:
        return any(
            json.loads(line)["step"] > step for line in (path / "metrics.jsonl").read_text().splitlines()
        )
    except (OSError, json.JSONDecodeError):
        return False


def test_two_processes_equal_one(tmp_path):
    """Two gloo processes under torchrun: loss and weights as one process to 1e-5, and resumed by one."""
    run(tmp_path / "one", steps=30)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(SCRIPT), str(tmp_path / "two"), "--steps", "30"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, two = last(tmp_path / "one"), last(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-5, atol=1e-5)
    losses = [_losses(tmp_path / name) for name in ("one", "two")]
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert run(tmp_path / "two", resume=True, steps=40).step == 40


def _losses(path: Path) -> list[float]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "train"]


def test_batch_that_cannot_be_shared(monkeypatch, tmp_path):
    monkeypatch.setattr("thinkling.training.distributed.current_shard", lambda: Shard(0, 3))
    with pytest.raises(InputError, match="a multiple of 3"):
        run(tmp_path)


def test_what_must_not_change(tmp_path):
    """The first differing key is named; lengths and rates may change; a run is never overwritten."""
    run(tmp_path, steps=10, data_sha256="abc")
    with pytest.raises(InputError, match="--resume"):
        run(tmp_path, steps=10)
    with pytest.raises(InputError, match=r"model\.size = 7; allowed: 6"):
        run(tmp_path, objective=SmallObjective(size=7), resume=True)
    with pytest.raises(InputError, match=r"training\.optimizer = 'adamw'"):
        run(tmp_path, optimizer="adamw", resume=True, data_sha256="abc")
    with pytest.raises(InputError, match=r"training\.seed = 3"):
        run(tmp_path, seed=3, resume=True, data_sha256="abc")
    with pytest.raises(InputError, match=r"training\.ema = False"):
        run(tmp_path, ema_decay=0.0, resume=True, data_sha256="abc")
    with pytest.raises(InputError, match="data_sha256 = 'xyz'"):
        run(tmp_path, resume=True, data_sha256="xyz")
    longer = run(tmp_path, steps=15, learning_rate=1e-3, resume=True, data_sha256="abc")
    assert longer.step == 15


def test_resume_of_a_finished_run(tmp_path):
    """Nothing is trained again, and the result is the same."""
    first = run(tmp_path, steps=10)
    again = run(tmp_path, steps=10, resume=True)
    assert (again.step, again.metrics, again.stopped) == (10, first.metrics, "done")


def test_resume_where_nothing_is_yet(tmp_path, capsys):
    """Killed before the first checkpoint: --resume starts at the beginning and says so."""
    assert run(tmp_path / "new", steps=5, resume=True).step == 5
    assert "has no checkpoint yet" in capsys.readouterr().err


def test_weights_without_checkpoints_are_not_overwritten(tmp_path):
    run(tmp_path, steps=5)
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a model without checkpoints"):
        run(tmp_path, steps=5, resume=True)
