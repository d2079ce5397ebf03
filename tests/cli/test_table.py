"""`thinkling data import table`, and train, eval and solve on it: from a CSV file to checked answers."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.main import main, parse
from thinkling.data.array_store import read_dataset

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "addition"
PLUGIN = EXAMPLE / "addition_task.py"
SHORT = [
    "--train.steps",
    "6",
    "--validation-size",
    "5",
    "--train.validate-every",
    "6",
    "--model.hidden-size",
    "32",
]


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[list[Any], str]:
    """The JSON objects and standard error of a command."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def written(path: Path, rows: int) -> Path:
    made = runpy.run_path(str(EXAMPLE / "make_rows.py"))["rows"](rows, digits=2, seed=1)
    path.write_text("Aufgabe,Ergebnis\n" + "".join(f"{question},{answer}\n" for question, answer in made))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, `run` and `table.csv`, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("table")
    table, data, run = written(folder / "table.csv", 100), folder / "data", folder / "run"
    columns = ["--question", "Aufgabe", "--answer", "Ergebnis"]
    assert (
        main(
            [
                "data",
                "import",
                "table",
                *map(str, (table, "--out", data, "--task", PLUGIN)),
                *columns,
                "--align=right",
            ]
        )
        == 0
    )
    train = ["train", "sudoku-4x4", "--data", str(data), "--out", str(run), "--task", str(PLUGIN), "--quiet"]
    assert main([*train, *SHORT]) == 0
    return folder


def test_the_import_tells_what_it_did(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = written(tmp_path / "table.csv", 50)
    (told,), errors = said(
        capsys,
        *("data", "import", "table", table, "--out", tmp_path / "data"),
        *("--question", "aufgabe", "--answer", "ergebnis", "--test-fraction", 0.2, "--length", 9),
    )
    assert (told["dir"], told["train"], told["test"], told["length"]) == (str(tmp_path / "data"), 40, 10, 9)
    assert len(told["sha256"]) == 64
    assert errors == ""
    (found,), _ = said(capsys, "data", "check", tmp_path / "data")
    assert found == {"train": 40, "test": 10, "duplicates": 0, "overlap": 0, "faults": []}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "neither a file nor --gym"),
        (["none.csv"], "none.csv: no such file"),
        (["table.csv"], "table.csv line 1: no column 'question' among aufgabe, ergebnis"),
        (["table.csv", "--shape", "9"], "--shape '9'; allowed: rows x columns"),
        (["table.csv", "--tokens", "words"], "--tokens"),
        (["table.csv", "--task", "none.py"], "--task none.py: No such file"),
        (["table.csv", "--gym", "mini_sudoku"], "a file with --gym"),
        (["--gym", "mini_sudoku", "--task", "x.py"], "--task with --gym.*name --task when you train"),
    ],
)
def test_bad_usage(
    words: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "table.csv", 5)
    _, errors = said(capsys, "data", "import", "table", *words, "--out", tmp_path / "out", code=2)
    assert errors.count("\n") == 1
    assert re.search(complaint, errors), errors
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_run_keeps_the_name_and_hash_of_its_plugin_and_no_code(folder: Path) -> None:
    task = json.loads((folder / "run" / "config.json").read_text())["task"]
    assert task == read_dataset(folder / "data").task_settings
    assert task["plugin"]["file"] == "addition_task.py"
    assert not list((folder / "run").rglob("*.py")) + list((folder / "data").rglob("*.py"))


def test_training_asks_for_the_plugin_of_the_import(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "sudoku-4x4", "--data", folder / "data", "--out", folder / "none", *SHORT]
    _, errors = said(capsys, *train, code=2)
    assert "imported with the plug-in addition_task.py" in errors
    assert "add --task addition_task.py" in errors
    assert not (folder / "none").exists()


def test_eval_with_and_without_the_checker(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = ["eval", folder / "run", "--data", folder / "data"]
    (told,), _ = said(capsys, *score, "--task", PLUGIN)
    assert told["valid_rate"] == told["exact_accuracy"]
    assert told["n"] == 10
    (blind,), _ = said(capsys, *score)
    assert blind["valid_rate"] is None
    assert blind["exact_accuracy"] == told["exact_accuracy"]
    _, errors = said(capsys, *score, "--halt", "valid", code=2)
    assert "no checker" in errors


def test_eval_on_a_csv_file_and_on_a_table_with_another_alphabet(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A second import learns its alphabet anew; its rows are scored in the model's tokens."""
    columns = ("--question", "Aufgabe", "--answer", "Ergebnis")
    (told,), _ = said(capsys, "eval", folder / "run", "--data", folder / "table.csv", *columns)
    assert told["n"] == 100
    few = tmp_path / "few.csv"
    few.write_text("question,answer\n1+1=,2\n12+1=,13\n")
    said(capsys, "data", "import", "table", few, "--out", tmp_path / "few", "--test-fraction", 0)
    (again,), _ = said(capsys, "eval", folder / "run", "--data", tmp_path / "few", "--split", "train")
    (same,), _ = said(capsys, "eval", folder / "run", "--data", few)
    assert again["n"] == same["n"] == 2
    assert again["cell_accuracy"] == same["cell_accuracy"]
    few.write_text("question,answer\n1-1=,0\n")
    said(capsys, "data", "import", "table", few, "--out", tmp_path / "minus", "--test-fraction", 0)
    _, errors = said(capsys, "eval", folder / "run", "--data", tmp_path / "minus", "--split", "train", code=2)
    assert "the character '-' at place 2" in errors


def test_solve_one_and_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (blind,), _ = said(capsys, "solve", folder / "run", "12+30=")
    assert blind["status"] == "unverified"
    (checked,), _ = said(capsys, "solve", folder / "run", "12+30=", "--task", PLUGIN)
    assert checked["status"] == ("verified" if checked["answer"] == "42" else "unsolved")
    many, _ = said(
        capsys,
        "solve",
        folder / "run",
        "--file",
        folder / "table.csv",
        "--question",
        "Aufgabe",
        "--task",
        PLUGIN,
    )
    assert len(many) == 100
    assert {entry["status"] for entry in many} <= {"verified", "unsolved"}
    assert main(["solve", str(folder / "run"), "12+30="]) == 0
    assert "12+30=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ("12*30=", r"question with the character '*' at place 3; allowed: '+0123456789='"),
        ("1234567+1=", "question of 10 characters; allowed: 1 to"),
        ("12+30", "question: no sum of two numbers, such as 407+58="),
    ],
)
def test_questions_the_model_cannot_take(
    question: str, complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, errors = said(capsys, "solve", folder / "run", question, "--task", PLUGIN, code=2)
    assert complaint in errors


def test_another_plugin_than_the_recorded_one_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.py"
    other.write_text("def check(question, answer):\n    return True\n")
    (told,), errors = said(capsys, "solve", folder / "run", "12+30=", "--task", other)
    assert told["status"] == "verified"
    assert "other.py is not the plug-in addition_task.py of this data" in errors


def test_the_example_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make_rows.py", str(tmp_path / "addition.csv")])
    runpy.run_path(str(EXAMPLE / "make_rows.py"), run_name="__main__")
    lines = (tmp_path / "addition.csv").read_text().splitlines()
    assert (lines[0], len(lines), len(set(lines))) == ("question,answer", 22_001, 22_001)


def test_the_page_shows_the_plugin_as_it_is_and_commands_that_parse() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "your-own-task.md").read_text()
    assert f"```python\n{PLUGIN.read_text()}```" in page
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```", page, re.M | re.S))
    commands = [line for line in blocks.splitlines() if line.startswith("thinkling ")]
    assert len(commands) >= 6
    for command in commands:
        parse(shlex.split(command)[1:])
