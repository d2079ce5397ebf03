"""`thinkling data make|import maze`."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[Any, str]:
    """The JSON object and standard error of a command."""
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


def test_make_check_and_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, errors = run(
        capsys,
        *("data", "make", "maze", "--size", 8, "--min-length", 8, "--train", 40, "--test", 10),
        *("--processes", 1, "--out", tmp_path / "made"),
    )
    assert (made["dir"], made["train"], made["test"]) == (str(tmp_path / "made"), 40, 10)
    assert len(made["sha256"]) == 64
    assert errors == ""
    found, _ = run(capsys, "data", "check", tmp_path / "made")
    assert (found["train"], found["test"], found["faults"]) == (40, 10, [])
    source = tmp_path / "mazes.csv"
    source.write_text("source,question,answer,rating\nmine,S #  ##G#,So#  ##G#,\n", encoding="utf-8")
    _, errors = run(capsys, "data", "import", "maze", source, "--out", tmp_path / "in", code=2)
    assert "line 2: the answer's o cells are not one path from S to G" in errors
    source.write_text("source,question,answer,rating\nmine,S ## ##G#,So##o##G#,3\n", encoding="utf-8")
    found, _ = run(capsys, "data", "import", "maze", source, "--test-fraction", 0, "--out", tmp_path / "in")
    assert (found["train"], found["test"], found["several_shortest_paths"]) == (1, 0, 0)


def test_oblong_mazes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--rows", 4, "--columns", 9, "--train", 5, "--test", 2, "--processes", 1)
    run(capsys, "data", "make", "maze", *words, "--out", tmp_path / "made")
    assert read_dataset(tmp_path / "made").task_settings == {"name": "maze", "rows": 4, "columns": 9}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("make maze --out x --size 8 --rows 4 --columns 4", ["given twice", "--rows and --columns"]),
        ("make maze --out x --rows 4", ["one of --rows and --columns"]),
        ("make maze --out x --size 0", ["--size 0", "1 or more"]),
        ("make maze --out x --size 8 --min-length 60", ["60 or more steps in 8x8", "1 to 43"]),
        ("make maze --out x --size 8 --min-length 9 --max-length 8", ["at most 8 and at least 9"]),
        ("import maze nowhere.csv --out x", ["nowhere.csv"]),
    ],
)
def test_bad_input_is_answered_in_one_line(
    words: str,
    parts: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_the_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hf://` sources are fetched by the package `huggingface_hub`, here one that knows a folder."""
    (tmp_path / "train.csv").write_text("source,question,answer,rating\nme,S G ,SoG ,\n", encoding="utf-8")
    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = lambda **asked: str(tmp_path)  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    words = ("data", "import", "maze", "hf://datasets/me/mazes/train.csv", "--rows", 1, "--columns", 4)
    found, _ = run(capsys, *words, "--test-fraction", 0, "--out", tmp_path / "in")
    assert found["train"] == 1
    _, errors = run(capsys, *words[:3], "hf://datasets/me/mazes/no.csv", "--out", tmp_path / "other", code=2)
    assert "hf://datasets/me/mazes/no.csv: no such file" in errors
