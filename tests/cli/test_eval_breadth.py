"""`eval` and `solve` with several limits, chains and selections, on a small 4x4 model trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from thinkling.cli.main import main
from thinkling.data.array_store import read_split
from thinkling.tasks.sudoku import Sudoku

CONTRACT = {
    "n", "exact_accuracy", "cell_accuracy", "valid_rate", "mean_steps", "p95_steps", "wrong_but_confident",
    "seconds", "examples_per_second",
}  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and `run`, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("breadth")
    data, run = folder / "data", folder / "run"
    made = ["data", "make", "sudoku", "--size", "4", "--train", "60", "--test", "12", "--out", str(data)]
    assert main(made) == 0
    train = ["train", "sudoku-4x4", "--data", str(data), "--out", str(run), "--quiet"]
    assert main([*train, "--train.steps", "5", "--train.validate-every", "0"]) == 0
    return folder


def evaluated(folder: Path, *words: object) -> list[object]:
    return ["eval", folder / "run", "--data", folder / "data", *words]


def test_several_limits_chains_and_selections_make_a_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = evaluated(folder, "--steps", "1,3", "--samples", "1,3", "--select", "q,valid", "--halt", "never")
    code, told = said(capsys, *words)
    assert code == 0
    assert told["n"] == 12
    rows = told["rows"]
    assert [(row["max_steps"], row["samples"], row["select"]) for row in rows] == [
        (1, 1, None), (1, 3, "q"), (1, 3, "valid"), (3, 1, None), (3, 3, "q"), (3, 3, "valid"),
    ]  # fmt: skip
    assert [row["mean_segments"] for row in rows] == [1, 3, 3, 3, 9, 9]
    for row in rows:
        assert set(row) >= CONTRACT | {"solved_by", "calibration_error"}
    assert len(told["calibration"]["bins"]) == 10
    assert told["calibration"]["rating_and_steps"] is None, "every puzzle has the same number of steps"

    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert "by the" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert sum(" valid " in line for line in printed.splitlines()) == 2


def test_below_the_table_stands_what_search_adds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = evaluated(folder, "--steps", "1,2", "--search", "--limit", "3")
    assert main([*map(str, words)]) == 0
    assert "with search:" in capsys.readouterr().out
    code, told = said(capsys, *words)
    assert code == 0
    assert told["search"]["unsolved"] == 0


def test_one_combination_keeps_the_contract(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(capsys, *evaluated(folder, "--samples", 4, "--select", "vote", "--vary", "init"))
    assert code == 0
    assert set(told) >= CONTRACT | {"halt", "max_steps", "params", "ended", "calibration", "mean_segments"}
    assert (told["samples"], told["select"], told["vary"]) == (4, "vote", "init")
    _, plain = said(capsys, *evaluated(folder))
    assert plain["mean_segments"] == plain["mean_steps"]
    assert plain["solved_by"]["breadth"] == 0


def test_the_reliability_picture_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "reliability.svg"
    assert said(capsys, *evaluated(folder, "--reliability", picture))[0] == 0
    assert "12 answers" in "".join(ElementTree.parse(picture).getroot().itertext())


def test_solve_with_several_chains(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test, task = read_split(folder / "data", "test"), Sudoku(4)
    puzzle = task.format(test.inputs[0])
    words = ["solve", folder / "run", puzzle, "--samples", 3, "--halt", "never", "--steps", 2]
    code, told = said(capsys, *words, "--select", "vote", "--trace", tmp_path / "trace.json")
    assert code == 0
    assert (told["samples"], told["segments"], told["steps"]) == (3, 6, 2)
    assert len(json.loads((tmp_path / "trace.json").read_text())["trace"]) == 2
    assert main([str(word) for word in words]) == 0
    assert "6 in up to 3 chains" in capsys.readouterr().out
    table = tmp_path / "one.csv"
    table.write_text(f"question\n{puzzle}\n")
    code, row = said(capsys, "solve", folder / "run", "--file", table, "--samples", 3, "--vary", "noise")
    assert (code, row["samples"]) == (0, 3)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--steps", "4,x"], "--steps"),
        (["--steps", "-3"], "--steps"),
        (["--steps", "4,4"], "each once"),
        (["--samples", "0"], "--samples"),
        (["--samples", ""], "--samples"),
        (["--samples", "65"], "65 samples with 64 slots"),
        (["--samples", "2", "--select", "q,votes"], "did you mean 'vote'"),
        (["--noise", "-1"], "noise of -1"),
        (["--alone", "-1"], "-1 segments alone"),
        (["--reliability", "/dev/null/x.svg"], "--reliability"),
    ],
)
def test_bad_usage_of_eval(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert main([str(word) for word in evaluated(folder, *words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert named in captured.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--samples", "-2"], "--samples"),
        (["--samples", "9999"], "9999 samples"),
        (["--vary", "symetry"], "symmetry"),
        (["--select", "best"], "residual"),
    ],
)
def test_bad_usage_of_solve(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    puzzle = Sudoku(4).format(read_split(folder / "data", "test").inputs[0])
    assert main(["solve", str(folder / "run"), puzzle, *words]) == 2
    assert named in capsys.readouterr().err
