"""The commands end to end, on a small 4x4 model trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from thinkling.cli.main import main
from thinkling.data.array_store import read_split
from thinkling.tasks.sudoku import Sudoku

PUZZLE = "1..4...1.1..4..."
SOLUTION_KEYS = {"answer", "status", "steps", "q_halt", "solved_by", "samples", "segments"}


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    out = capsys.readouterr().out.splitlines()
    return code, [json.loads(line) for line in out] if len(out) > 1 else json.loads(out[0]) if out else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and `run`, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("cli")
    data, run = folder / "data", folder / "run"
    assert (
        main(["data", "make", "sudoku", "--size", "4", "--train", "100", "--test", "20", "--out", str(data)])
        == 0
    )
    short = [
        "--train.steps",
        "30",
        "--train.validate-every",
        "20",
        "--validation-size",
        "10",
        "--train.log-every",
        "5",
    ]
    assert main(["train", "sudoku-4x4", "--data", str(data), "--out", str(run), *short, "--quiet"]) == 0
    return folder


def test_train_says_where_and_how_good(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, told = said(
        capsys,
        "train",
        "sudoku-4x4",
        "--data",
        folder / "data",
        "--out",
        tmp_path / "r",
        "--train.steps",
        3,
        "--quiet",
    )
    assert code == 0
    assert told["step"] == 3
    assert set(told) >= {"run", "step", "metrics"}
    for name in (
        "config.json",
        "model.safetensors",
        "ema.safetensors",
        "metrics.jsonl",
        "report.md",
        "README.md",
    ):
        assert (tmp_path / "r" / name).is_file()


def test_dry_run_trains_nothing(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, told = said(
        capsys, "train", "sudoku-9x9", "--data", folder / "data", "--out", tmp_path / "r", "--dry-run",
        "--model.hidden-size", 64,
    )  # fmt: skip
    assert code == 0
    assert told["config"]["model"]["hidden_size"] == 64
    assert told["config"]["model"]["seq_len"] == 16
    assert told["params"] > 0
    assert told["flops"] > 0
    assert told["memory_bytes"] > 0
    assert not (tmp_path / "r").exists()


def test_resume_goes_on(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "sudoku-4x4", "--data", folder / "data", "--out", tmp_path / "r", "--quiet"]
    said(capsys, *words, "--train.steps", 3)
    assert main([*map(str, words), "--train.steps", "3"]) == 2
    code, told = said(capsys, *words, "--train.steps", 3, "--resume")
    assert (code, told["step"]) == (0, 3)


@pytest.mark.parametrize("halt", ["q", "valid", "never"])
def test_eval_keys(folder: Path, capsys: pytest.CaptureFixture[str], halt: str) -> None:
    code, told = said(capsys, "eval", folder / "run", "--data", folder / "data", "--halt", halt)
    assert code == 0
    assert told["n"] == 20
    assert set(told) >= {
        "n", "exact_accuracy", "cell_accuracy", "valid_rate", "mean_steps", "p95_steps", "wrong_but_confident",
        "seconds", "examples_per_second",
    }  # fmt: skip
    assert told["mean_steps"] == 8 or halt != "never"


def test_eval_of_a_csv(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same puzzles as CSV get the same score; a wrong answer in the table is refused by its line."""
    table, task = tmp_path / "puzzles.csv", Sudoku(4)
    test = read_split(folder / "data", "test")
    rows = [f"me,{task.format(q)},{task.format(a)},0" for q, a in zip(test.inputs, test.labels, strict=True)]
    table.write_text("source,question,answer,rating\n" + "\n".join(rows) + "\n")
    code, told = said(capsys, "eval", folder / "run", "--data", table)
    _, same = said(capsys, "eval", folder / "run", "--data", folder / "data")
    assert code == 0
    assert {name: told[name] for name in told if "second" not in name} == {
        name: same[name] for name in same if "second" not in name
    }
    table.write_text(f"question,answer\n{task.format(test.inputs[0])},{'1' * 16}\n")
    assert main(["eval", str(folder / "run"), "--data", str(table)]) == 2
    assert "line 2" in capsys.readouterr().err


def test_solve_one(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    puzzle = first_question(folder)
    code, told = said(capsys, "solve", folder / "run", puzzle, "--trace", tmp_path / "trace.json")
    assert code == 0
    assert set(told) == SOLUTION_KEYS
    assert told["status"] in ("verified", "unsolved")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert len(trace["trace"]) == told["steps"]
    assert trace["trace"][-1]["answer"] == told["answer"]


def test_solve_shows_a_grid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", str(folder / "run"), first_question(folder), "--watch"]) == 0
    out = capsys.readouterr().out
    assert "-----+-----" in out
    assert "step 1: " in out


def test_require_valid_exits_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One step of a hardly trained model: no verified answer."""
    found = {
        main(["solve", str(folder / "run"), puzzle, "--steps", "1", "--require-valid", "--json"])
        for puzzle in questions(folder)
    }
    assert 3 in found
    assert found <= {0, 3}
    assert "no verified answer" in capsys.readouterr().err


def test_solve_a_file_in_order(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "many.csv"
    asked = questions(folder)
    table.write_text("question\n" + "\n".join(asked) + "\n")
    code, told = said(capsys, "solve", folder / "run", "--file", table, "--slots", 3)
    assert code == 0
    assert len(told) == len(asked)
    for question, row in zip(asked, told, strict=True):
        assert set(row) == SOLUTION_KEYS
        assert len(row["answer"]) == len(question)


def test_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The whole demo on few puzzles and three seconds of training; a second call scores the same run."""
    data, run = tmp_path / "data", tmp_path / "run"
    make = ["data", "make", "sudoku", "--size", "6", "--train", "200", "--test", "20", "--out", str(data)]
    assert main(make) == 0
    words = ["demo", "--quick", "--minutes", "0.05", "--data", data, "--out", run]
    code, told = said(capsys, *words)
    assert code == 0
    assert set(told) >= {
        "run", "exact_accuracy", "exact_accuracy_fixed", "mean_steps", "train_seconds", "params"
    }  # fmt: skip
    assert told["train_seconds"] == pytest.approx(3, abs=2)
    assert main([*map(str, words)]) == 0
    shown = capsys.readouterr().out
    assert "20 unseen puzzles" in shown
    assert f"thinkling solve {run}" in shown.replace("\n", "")


def test_bench_adaptive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "bench",
        "adaptive",
        "--run",
        folder / "run",
        "--data",
        folder / "data",
        "--limit",
        5,
        "--repeats",
        1,
    ]
    code, told = said(capsys, *words)
    assert code == 0
    assert set(told) >= {"speedup", "accuracy_lost", "hardware", "seconds"}


def test_import_of_an_official_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "hrm_a"
    official = tmp_path / "official"
    official.mkdir()
    torch.save(load_file(golden / "weights.safetensors"), official / "step_7")
    config = json.loads((golden / "config.json").read_text())["config"]
    (official / "all_config.yaml").write_text(json.dumps({"arch": config}))
    code, told = said(capsys, "import", "hrm", official, "--out", tmp_path / "run")
    assert code == 0
    assert told["unmatched"] == []
    assert told["params"] == 263_682 + 5 * 64


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["solve", "{run}", "12"], "2 characters"),
        (["solve", "{run}", "11.............."], "row 1"),
        (["solve", "{run}"], "--file"),
        (["solve", "{run}", PUZZLE, "--steps", "-1"], "--steps"),
        (["solve", "{run}", "--file", "{bad}"], "line 3"),
        (["solve", "{run}", "--file", "{bad}", "--watch"], "--watch"),
        (["solve", "{folder}", PUZZLE], "model.safetensors"),
        (["solve", "nowhere", PUZZLE], "nowhere does not exist"),
        (["eval", "{run}", "--data", "nowhere.csv"], "nowhere.csv"),
        (["eval", "{run}", "--data", "{data}", "--slots", "0"], "--slots"),
        (["eval", "{run}", "--data", "{data}", "--limit", "-2"], "--limit"),
        (["train", "sudoku-4x5", "--data", "{data}", "--out", "x"], "sudoku-4x4"),
        (["train", "--data", "{data}", "--out", "x"], "recipe"),
        (["train", "sudoku-4x4", "--data", "nowhere", "--out", "x"], "nowhere"),
        (
            ["train", "sudoku-4x4", "--data", "{data}", "--out", "x", "--train.learnin-rate", "1"],
            "learning-rate",
        ),
        (["train", "sudoku-4x4", "--data", "{data}", "--out", "x", "--batch-size", "0"], "batch_size"),
        (["demo", "--minutes", "-1"], "--minutes"),
        (["bench", "train", "--steps", "0"], "steps"),
    ],
)
def test_bad_input_exits_2(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], named: str
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(f"question\n{first_question(folder)}\n12\n")
    places = {"run": folder / "run", "data": folder / "data", "folder": folder, "bad": bad}
    assert main([word.format(**places) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert named in lines[-1]


def questions(folder: Path) -> list[str]:
    return [Sudoku(4).format(tokens) for tokens in read_split(folder / "data", "test").inputs]


def first_question(folder: Path) -> str:
    return questions(folder)[0]
