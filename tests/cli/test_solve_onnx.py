"""`thinkling export onnx` of a puzzle run and `thinkling solve model.onnx`, which needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "puzzles"))

from random_network import write_random_run

from thinkling.cli.main import main

PUZZLE = "12343412214343.."
WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "tokenizers", "onnx", "onnxscript"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
from thinkling.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""A process in which these packages are not installed."""


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[list[Any], str]:
    """The JSON lines and standard error of a command."""
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, `model.onnx` and `puzzles.csv`."""
    folder = tmp_path_factory.mktemp("solve")
    write_random_run(folder / "run")
    assert main(["export", "onnx", str(folder / "run"), "--out", str(folder / "model.onnx")]) == 0
    rows = ["q,answer", f"{PUZZLE},1234341221434321", "..343412214343..,1234341221434321"]
    (folder / "puzzles.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def without_torch(*words: object) -> subprocess.CompletedProcess[str]:
    """`thinkling` in a process that cannot import torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_one_puzzle_without_torch(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    told = without_torch("solve", folder / "model.onnx", PUZZLE, "--json", "--trace", trace)
    assert told.returncode == 0, told.stderr
    (ours,), _ = said(capsys, "solve", folder / "run", PUZZLE, "--compute-dtype", "float32")
    theirs = json.loads(told.stdout)
    assert theirs.pop("q_halt") == pytest.approx(ours.pop("q_halt"), abs=1e-3)
    assert theirs == ours
    assert len(json.loads(trace.read_text(encoding="utf-8"))["trace"]) == theirs["steps"]


def test_a_file_of_puzzles_without_torch(folder: Path) -> None:
    words = ("--file", folder / "puzzles.csv", "--question", "q", "--slots", 1)
    told = without_torch("solve", folder / "model.onnx", *words, "--require-valid")
    assert told.returncode == 3, told.stderr
    assert [json.loads(line)["status"] for line in told.stdout.splitlines()] == ["unsolved"] * 2
    assert "0 of 2 verified" in told.stderr


def test_a_person_watches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", str(folder / "model.onnx"), PUZZLE, "--watch", "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert "step 2:" in shown
    assert "unsolved after 2 steps" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["12"], "2 characters"),
        (["11.............."], "row 1"),
        ([PUZZLE, "--device", "cuda"], "--device cuda"),
        ([PUZZLE, "--compute-dtype", "bfloat16"], "--compute-dtype bfloat16"),
        ([PUZZLE, "--grid", "3x3"], "a run folder"),
        ([PUZZLE, "--samples", "4"], "--samples 4"),
        ([PUZZLE, "--search"], "--search"),
        ([PUZZLE, "--task", "checker.py"], "a plug-in for a table"),
        ([PUZZLE, "--halt", "maybe"], "never, q, valid"),
        ([PUZZLE, "--steps", "-1"], "--steps -1"),
        ([], "--file"),
    ],
)
def test_bad_input(words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", str(folder / "model.onnx"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model", encoding="utf-8")
    assert main(["solve", str(tmp_path / "text.onnx"), PUZZLE]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert main(["solve", str(tmp_path / "nowhere.onnx"), PUZZLE]) == 2
    assert "no such file" in capsys.readouterr().err


def test_export_refuses(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    for words, message in (
        (["--int8"], "--int8 without --data"),
        (["--data", folder / "nowhere.csv"], "nowhere.csv"),
        (["--limit", "-1", "--data", folder / "puzzles.csv"], "--limit -1"),
    ):
        _, errors = said(capsys, "export", "onnx", folder / "run", "--out", out, *words, code=2)
        assert message in errors
    _, errors = said(capsys, "export", "onnx", folder / "run", "--out", tmp_path, code=2)
    assert "which is a folder" in errors
    assert list(tmp_path.iterdir()) == []
