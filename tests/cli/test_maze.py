"""A maze model from the command line: train, score with three shares, solve, and use on another size."""

import json
import sys
import types
from pathlib import Path

import pytest

from thinkling.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A barely trained run and its data."""
    folder = tmp_path_factory.mktemp("maze")
    made = ["data", "make", "maze", "--size", "5", "--min-length", "4", "--train", "40", "--test", "6"]
    assert main([*made, "--processes", "1", "--out", str(folder / "data")]) == 0
    train = ["train", "maze", "--data", str(folder / "data"), "--out", str(folder / "run"), "--quiet"]
    small = [
        "--model.hidden-size",
        "16",
        "--train.steps",
        "3",
        "--batch-size",
        "4",
        "--train.validate-every",
        "0",
    ]
    assert main([*train, *small]) == 0
    return folder / "run", folder / "data"


def said(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_valid_and_optimal_shares_are_reported_apart(run, capsys):
    folder, data = run
    score = said(capsys, "eval", str(folder), "--data", str(data), "--steps", "2")
    assert score["n"] == 6
    assert 0 <= score["optimal_rate"] <= score["valid_rate"] <= 1
    assert score["exact_accuracy"] <= score["optimal_rate"]


def test_a_model_with_local_mixing_goes_to_another_size(run, capsys):
    folder, _ = run
    maze = "S  #" + "## #" + "   G"
    answer = said(capsys, "solve", str(folder), maze, "--grid", "3x4", "--steps", "1")
    assert len(answer["answer"]) == 12
    assert answer["status"] in ("verified", "unsolved")


@pytest.mark.parametrize(
    ("grid", "words"), [("3", "rows x columns"), ("3x4", "12 characters"), ("0x4", "9x9")]
)
def test_a_size_that_does_not_fit_is_refused(run, capsys, grid, words):
    assert main(["solve", str(run[0]), "S G", "--grid", grid]) == 2
    assert words in capsys.readouterr().err


def test_data_and_run_may_lie_on_the_hub(run, capsys, monkeypatch, tmp_path):
    folder, data = run
    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = lambda **asked: str(data if asked["repo_type"] == "dataset" else folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    score = said(capsys, "eval", "hf://me/maze", "--data", "hf://datasets/me/mazes", "--steps", "1")
    assert score["n"] == 6
    dry = ["train", "maze", "--data", "hf://datasets/me/mazes", "--out", str(tmp_path / "run"), "--dry-run"]
    assert said(capsys, *dry)["params"] > 0
