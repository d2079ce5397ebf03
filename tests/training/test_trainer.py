"""The loop: what it leaves on disk, when it stops, and that nothing poisons the weights."""

from __future__ import annotations

import errno
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from small_objective import CONFIG, SmallObjective, run

from thinkling.artifacts import weights
from thinkling.artifacts.checkpoint import load_checkpoint
from thinkling.artifacts.run_folder import find_model_folder, read_config
from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.errors import InputError, ThinklingError, TrainingStoppedError
from thinkling.training.config import TrainConfig
from thinkling.training.metrics import MetricSums
from thinkling.training.report import learning_curve
from thinkling.training.run_log import RunLog, read_rows
from thinkling.training.trainer import train


def test_run_folder(tmp_path):
    """A finished run has learned, is loadable, and explains itself."""
    result = run(tmp_path, steps=150, data_sha256="abc")
    assert (result.step, result.stopped, result.run) == (150, "done", tmp_path)
    assert result.train_seconds > 0
    assert find_model_folder(tmp_path) == tmp_path
    config = read_config(tmp_path)
    assert config["model"] == {"size": 6}
    assert config["training"]["steps"] == 150
    assert config["provenance"]["data_sha256"] == "abc"
    rows = read_rows(tmp_path / "metrics.jsonl")
    training = [row for row in rows if row["kind"] == "train"]
    assert {"loss", "lr", "grad_norm", "examples_per_second", "seconds", "exact_accuracy"} <= training[
        0
    ].keys()
    assert training[-1]["loss"] < training[0]["loss"] / 3
    best = max((row for row in rows if row["kind"] == "validation"), key=lambda row: row["closeness"])
    assert result.metrics == {"closeness": best["closeness"]}
    objective = SmallObjective()
    load_into(objective.model, read_model_weights(tmp_path))
    objective.model.eval()
    assert objective.validate()["closeness"] == pytest.approx(best["closeness"], abs=1e-6)
    report = (tmp_path / "report.md").read_text()
    assert "curve.svg" in report
    assert f"step {best['step']}" in report
    assert f"{closeness_text(best)}" in (tmp_path / "README.md").read_text()
    picture = ElementTree.parse(tmp_path / "curve.svg")
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


def closeness_text(row):
    return f"closeness | {row['closeness']:.4g}"


def test_best_weights_win(tmp_path):
    """The run folder gets the weights of the best validation, not of the last."""
    objective = SmallObjective()
    scores = iter([0.1, 0.9, 0.3])
    objective.validate = lambda: {"closeness": next(scores)}
    result = run(tmp_path, objective=objective)
    assert result.metrics == {"closeness": 0.9}
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.state["step"] == 40
    for name, tensor in read_model_weights(tmp_path, averaged=False).items():
        assert torch.equal(tensor, best.weights[name])
    assert not torch.equal(best.weights["mix.weight"], objective.model.mix.weight)


def test_time_limit(tmp_path):
    """Training ends at the limit with a decayed rate; validation is not counted; resume keeps the time."""
    settings = {"steps": 10**6, "time_limit_seconds": 0.8, "lr_by_time": True, "validate_every": 0}
    result = run(tmp_path, **settings, validate_every_seconds=0.2)
    assert result.stopped == "time"
    assert 0.8 <= result.train_seconds < 3
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert 2 <= sum(row["kind"] == "validation" for row in rows) <= 5
    rates = [row["lr"] for row in rows if row["kind"] == "train"]
    assert rates[-1] < 0.5 * max(rates)
    again = run(tmp_path, **settings, resume=True)
    assert (again.step, again.stopped) == (result.step, "time")
    assert again.train_seconds == result.train_seconds


def finite(path):
    folder = find_model_folder(path)
    return all(torch.isfinite(tensor).all() for tensor in read_model_weights(folder).values())


def test_single_poisoned_step(tmp_path, capsys):
    """A NaN loss is skipped: no update, fresh slots, and training goes on."""
    objective = SmallObjective()
    objective.poison = lambda step: step in (10, 11, 40)
    before = []
    objective.at_step = lambda step: before.append(objective.model.mix.weight.clone())
    assert run(tmp_path, objective=objective).step == 60
    assert objective.restarts == 3
    assert torch.equal(before[9], before[11])  # steps 10 and 11 changed nothing
    assert not torch.equal(before[11], before[12])
    assert finite(tmp_path)
    err = capsys.readouterr().err
    assert "step 10: the loss or its gradient is not finite" in err
    assert "3 steps were skipped" in (tmp_path / "report.md").read_text()
    assert load_checkpoint(tmp_path / "checkpoints" / "last").state["guard"]["skipped"] == 3


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_poisoned_gradients(tmp_path, kind):
    """A finite loss with an infinite gradient, dense or sparse, is as poisonous."""
    objective, steps = SmallObjective(), []
    objective.at_step = steps.append

    def blow_up(module, inputs, output):
        if steps[-1] == 10:
            hooked = module.table.lookups[-1][1] if kind == "sparse" else output[1]
            hooked.register_hook(lambda grad: grad * math.inf)

    objective.model.register_forward_hook(blow_up)
    run(tmp_path, objective=objective, steps=20)
    assert objective.restarts == 1
    assert finite(tmp_path)


def test_three_in_a_row_roll_back(tmp_path, capsys):
    """After three poisoned steps weights, optimiser and average are those of the last checkpoint again."""
    objective = SmallObjective()
    objective.poison = lambda step: step in (36, 37, 38)
    seen = {}
    objective.at_step = lambda step: seen.update({step: objective.model.mix.weight.detach().clone()})
    run(tmp_path, objective=objective)
    assert torch.equal(seen[39], seen[31])
    assert not torch.equal(seen[36], seen[31])
    assert "step 38: weights rolled back to those of step 30" in capsys.readouterr().err
    assert finite(tmp_path)


def test_giving_up(tmp_path, capsys):
    """A loss that stays NaN ends training with clear words and good weights on disk."""
    objective = SmallObjective()
    objective.poison = lambda step: step > 4
    with pytest.raises(TrainingStoppedError, match="lower the learning rate"):
        run(tmp_path, objective=objective)
    assert capsys.readouterr().err.count("rolled back to those of step 0") == 3
    assert finite(tmp_path)
    assert run(tmp_path, resume=True).stopped == "done"


def test_weights_that_turn_bad_unseen(tmp_path):
    """Weights are looked at before they are scored or saved, whatever made them bad."""
    objective = SmallObjective()

    def ruin_weight(param):
        param.data.fill_(math.nan)

    def ruin(step):
        if step == 30:
            objective.model.answer.bias.register_post_accumulate_grad_hook(ruin_weight)

    objective.at_step = ruin
    with pytest.raises(TrainingStoppedError):
        run(tmp_path, objective=objective, steps=100)
    assert finite(tmp_path)


def test_full_disk(tmp_path, monkeypatch):
    """Disk full at the third save: one clear error, the second save whole, and the run goes on from it."""
    saves = []
    real = weights.save_file

    def save_file(tensors, path, **_):
        saves.append(path)
        if len(saves) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(weights, "save_file", save_file)
    with pytest.raises(ThinklingError, match=r"No space left on device.*--resume"):
        run(tmp_path)
    assert load_checkpoint(tmp_path / "checkpoints" / "last").state["step"] == 10
    monkeypatch.undo()
    assert run(tmp_path, resume=True).stopped == "done"


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """A file in the place of the folder is bad input; an unwritable report is told in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        run(tmp_path / "file")

    def refuse(*arguments, **named):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("thinkling.training.trainer.write_report", refuse)
    with pytest.raises(ThinklingError, match="Permission denied; check the folder"):
        run(tmp_path / "run", steps=2)
    monkeypatch.setattr("builtins.open", refuse)
    log = RunLog(tmp_path / "metrics.jsonl", quiet=True)
    with pytest.raises(ThinklingError, match="Permission denied"):
        log.train(1, 1.0, 0.1, 8, {})


def test_config_errors():
    """Each value out of range is refused by name."""
    bad = {
        "steps": 0,
        "learning_rate": -1,
        "grad_clip": -1,
        "min_lr_ratio": 2,
        "ema_decay": 1,
        "betas": (0.9, 1),
    }
    bad |= {"time_limit_seconds": -1, "log_every": 0, "checkpoint_every": -1}
    for name, value in bad.items():
        with pytest.raises(InputError, match=name):
            TrainConfig(**{name: value})
    with pytest.raises(InputError, match="time_limit_seconds = 0"):
        TrainConfig(lr_by_time=True)


def test_metric_sums():
    sums = MetricSums(torch.device("cpu"))
    for value in (1.0, 2.0):
        sums.add({"a": (torch.tensor(value), torch.tensor(2)), "b": (torch.tensor(0.0), torch.tensor(0.0))})
    assert sums.reduced() == {"a": 0.75}
    assert sums.reduced() == {}


def test_plain_progress(tmp_path, capsys):
    """Not on a terminal: a plain line on stderr now and then, and every validation; nothing on stdout."""
    train(SmallObjective(), CONFIG, tmp_path)
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 5 loss" in err
    assert "examples/s ETA" in err
    assert err.count("validation closeness") == 3


def test_live_progress(tmp_path, monkeypatch, capsys):
    """On a terminal: one live line with loss, exact accuracy, rate and ETA."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    log = RunLog(tmp_path / "metrics.jsonl")
    log.begin(0, 0.0)
    log.train(10, 1.0, 0.25, 80, {"loss": 0.5, "exact_accuracy": math.nan})
    log.note("a word")
    log.close()
    err = capsys.readouterr().err
    assert "a word" in err
    assert "ETA" in err
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["exact_accuracy"] is None


@pytest.mark.parametrize("scale", [1e-4, 0.3, 7, 12345.0])
def test_curve_of_any_scale(scale):
    """Valid SVG with a handful of ticks inside the picture, for any range, one point or none."""
    points = [(float(x), scale * math.sin(x)) for x in range(9)]
    for curves in ({"a": points, "b": points[:1]}, {"a": []}):
        root = ElementTree.fromstring(learning_curve({"title & more": curves}))
        texts = root.findall("{http://www.w3.org/2000/svg}text")
        assert len(texts) < 24
        for text in texts:
            assert 0 <= float(text.get("x")) <= 720
            assert 0 <= float(text.get("y")) <= float(root.get("height"))
