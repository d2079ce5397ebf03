"""Training that ends when validations no longer get better."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_objective import CONFIG, SmallObjective

from thinkling.errors import InputError
from thinkling.training.config import TrainConfig
from thinkling.training.early_stopping import Plateau
from thinkling.training.train_state import Progress
from thinkling.training.trainer import TrainResult, train


def run(folder: Path, scores: Iterator[float], *, resume: bool = False, **changes: object) -> TrainResult:
    """Train for at most 60 steps with a validation every 5, whose results are given."""
    objective = SmallObjective()
    objective.validate = lambda: {"closeness": next(scores)}  # type: ignore[method-assign]  # a test's
    settings = {"validate_every": 5, **changes}
    config = TrainConfig(**{**CONFIG.__dict__, **settings})  # type: ignore[arg-type]  # a test's
    return train(objective, config, folder, resume=resume, quiet=True)


def test_small_gains_add_up() -> None:
    plateau = Plateau()
    counts = []
    for result in (0.5, 0.5, 0.504, 0.508, 0.512, 0.51):
        plateau.judge(result, 0.01)
        counts.append(plateau.validations)
    assert counts == [0, 1, 2, 3, 0, 1]
    assert plateau.best == 0.512


def test_training_ends_on_a_plateau_with_its_best_weights(tmp_path: Path) -> None:
    result = run(tmp_path, iter([0.1, 0.9, 0.3, 0.9, 0.8]), patience=3)
    assert (result.step, result.stopped) == (25, "plateau")
    assert result.metrics == {"closeness": 0.9}
    assert (tmp_path / "model.safetensors").exists()


def test_without_patience_it_goes_on(tmp_path: Path) -> None:
    result = run(tmp_path, iter([0.5] * 12))
    assert (result.step, result.stopped) == (60, "done")


def test_the_count_survives_a_stop(tmp_path: Path) -> None:
    """Two validations without a gain, a stop, one more: the third ends the run, as if it had never stopped."""
    first = run(tmp_path, iter([0.5, 0.4, 0.4]), patience=3, steps=15)
    assert first.stopped == "done"
    second = run(tmp_path, iter([0.4]), patience=3, resume=True)
    assert (second.step, second.stopped) == (20, "plateau")
    third = run(tmp_path, iter([0.6] * 12), patience=12, resume=True)
    assert (third.step, third.stopped) == (60, "done"), "more patience lets a run go on"


def test_runs_of_before_there_was_patience_resume(tmp_path: Path) -> None:
    """A state that does not know of plateaus is one that has had none."""
    run(tmp_path, iter([0.5] * 3), steps=15)
    state = tmp_path / "checkpoints" / "last" / "train_state.json"
    values = json.loads(state.read_text())
    del values["plateau"]
    assert Progress.from_json(values).plateau == Plateau()


@pytest.mark.parametrize(("name", "value"), [("patience", -1), ("min_gain", -0.1)])
def test_what_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        TrainConfig(**{name: value})  # type: ignore[arg-type]  # a test's
