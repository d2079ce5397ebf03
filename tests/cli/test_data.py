"""`thinkling data make|import|check`."""

import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.data_sudoku import parse_range
from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset, write_dataset
from thinkling.errors import InputError


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[Any, str]:
    """The JSON object and standard error of a command."""
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


@pytest.fixture
def small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A data set of 4x4 puzzles."""
    made, _ = run(
        capsys,
        *("data", "make", "sudoku", "--size", 4, "--blanks", "5-9"),
        *("--train", 30, "--test", 10, "--processes", 1, "--out", tmp_path / "small"),
    )
    assert (made["dir"], made["train"], made["test"]) == (str(tmp_path / "small"), 30, 10)
    assert len(made["sha256"]) == 64
    return tmp_path / "small"


def test_a_made_data_set_is_sound(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, errors = run(capsys, "data", "check", small, "--processes", 1)
    assert found == {"train": 30, "test": 10, "duplicates": 0, "overlap": 0, "faults": []}
    assert errors == ""


def test_a_fault_is_told_in_json_and_by_the_exit_code(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test set that is the training set."""
    data = read_dataset(small)
    leaky = small.with_name("leaky")
    write_dataset(leaky, data.train, data.train, task_settings=data.task_settings)
    found, errors = run(capsys, "data", "check", leaky, "--processes", 1, code=2)
    assert (found["train"], found["test"], found["overlap"], len(found["faults"])) == (30, 30, 30, 30)
    assert errors.count("\n") == 1
    assert "30 faults, the first: test/all__inputs.npy row 0" in errors


def test_faults_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = {
        "train": 9,
        "test": 9,
        "duplicates": 25,
        "overlap": 0,
        "faults": [f"row {n}: bad" for n in range(25)],
    }
    monkeypatch.setattr("thinkling.cli.data.check_dataset", lambda directory, processes: found)
    told, errors = run(capsys, "data", "check", tmp_path, code=2)
    assert told == found
    assert errors.count("\n") == 1
    assert "25 faults, the first: row 0: bad" in errors
    assert main(["data", "check", str(tmp_path)]) == 2
    shown = capsys.readouterr().out
    assert "row 19: bad" in shown
    assert "and 5 more" in shown


def test_import_from_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solved = "1234341221434321"
    lines = [
        "source,question,answer,rating",
        f"mine,{'.' + solved[1:]},{solved},0",
        f"mine,{'..' + solved[2:]},{solved},0",
    ]
    source = tmp_path / "puzzles.csv"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = (
        "data",
        "import",
        "sudoku",
        source,
        "--test-fraction",
        0,
        "--processes",
        1,
        "--out",
        tmp_path / "out",
    )
    made, _ = run(capsys, *words)
    assert made["train"] + made["test"] == 2
    source.write_text("\n".join([lines[0], lines[1].replace("1,0", "x,0")]) + "\n", encoding="utf-8")
    _, errors = run(capsys, *words[:-1], tmp_path / "other", code=2)
    assert "line 2" in errors
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("text", "fewest_and_most"), [("30-50", (30, 50)), ("40", (40, 40)), (" 1-2 ", (1, 2))]
)
def test_a_range_of_blanks(text: str, fewest_and_most: tuple[int, int]) -> None:
    assert parse_range(text) == fewest_and_most


@pytest.mark.parametrize("text", ["", "30-", "a-b", "-3", "30..50"])
def test_a_malformed_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="30-50"):
        parse_range(text)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("data make sudoku --out x --size 5", ["--size", "4, 6, 9"]),
        ("data make sudoko --out x", ["sudoko", "sudoku"]),
        ("data make sudoku --out x --blanks many", ["--blanks 'many'", "30-50"]),
        ("data make sudoku --out x --train 0", ["--train 0"]),
        ("data check nowhere", ["nowhere"]),
        ("data import sudoku nowhere.csv --out x", ["nowhere.csv"]),
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
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for part in parts:
        assert part in captured.err
    assert list(tmp_path.iterdir()) == []
