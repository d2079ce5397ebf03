"""Data sets of many levels: what is in them, and that a test puzzle is never given away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset
from thinkling.data.csv_tables import PuzzleRow, write_rows
from thinkling.errors import InputError
from thinkling.puzzles.datasets.check import check_dataset
from thinkling.puzzles.datasets.sudoku_levels import make_levels
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates


def written(path: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """A CSV file of made puzzles, and its rows."""
    made, task = make_candidates(9, (50, 54), seed, 0, count), Sudoku(9)
    rows = [
        (task.format(question + np.uint8(1)), task.format(answer + np.uint8(1)))
        for question, answer in zip(made.questions, made.answers, strict=True)
    ]
    save(path, rows)
    return rows


def save(path: Path, rows: list[tuple[str, str]]) -> None:
    write_rows(path, [PuzzleRow(line=0, question=q, answer=a, source="made", rating=3) for q, a in rows])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train.csv` of 30 puzzles and `test.csv` of 5."""
    folder = tmp_path_factory.mktemp("levels")
    written(folder / "train.csv", 30, seed=1)
    written(folder / "test.csv", 5, seed=2)
    return folder


def test_every_level_is_there_and_sound(files: Path, tmp_path: Path) -> None:
    made = make_levels(
        [files / "train.csv"],
        files / "test.csv",
        tmp_path / "set",
        generated=12,
        eased=20,
        held_out=6,
        seed=4,
    )
    assert (made["train"], made["test"]) == (12 + 20 + 30, 5)
    data = read_dataset(tmp_path / "set")
    assert data.sha256 == made["sha256"]
    assert check_dataset(tmp_path / "set")["faults"] == []
    inputs, labels = np.asarray(data.train.inputs), np.asarray(data.train.labels)
    blanks = (inputs == 1).sum(1)
    assert blanks[:12].min() >= 30
    assert blanks[12:32].max() < 54
    assert set(blanks[32:]) <= set(range(50, 55))
    files_own = {row.tobytes() for row in labels[32:]}
    assert {row.tobytes() for row in labels[12:32]} <= files_own, "an easier copy keeps its solution"


def test_what_is_held_out_has_no_easier_copy(files: Path, tmp_path: Path) -> None:
    make_levels(
        [files / "train.csv"],
        files / "test.csv",
        tmp_path / "set",
        generated=0,
        eased=200,
        held_out=6,
        seed=4,
    )
    labels = [row.tobytes() for row in np.asarray(read_dataset(tmp_path / "set").train.labels)]
    assert not set(labels[-6:]) & set(labels[:-6])
    assert set(labels[:200]) == set(labels[200:-6])


def test_the_same_seed_gives_the_same_files(files: Path, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> str:
        settings = {"generated": 3, "eased": 5, "held_out": 2, "seed": seed}
        return str(
            make_levels([files / "train.csv"], files / "test.csv", tmp_path / name, **settings)["sha256"]
        )

    assert made("a", 1) == made("b", 1)
    assert made("c", 2) != made("a2", 1)


def test_a_puzzle_of_the_test_file_is_left_out_of_training(files: Path, tmp_path: Path) -> None:
    """Also with its digits exchanged."""
    task = Sudoku(9)
    rows = written(tmp_path / "more.csv", 8, seed=3)
    exchanged = str.maketrans("123456789", "234567891")
    given_away = [(q.translate(exchanged), a.translate(exchanged)) for q, a in rows[:2]]
    save(tmp_path / "test.csv", given_away)
    made = make_levels(
        [tmp_path / "more.csv", files / "train.csv"],
        tmp_path / "test.csv",
        tmp_path / "set",
        generated=0,
        eased=50,
        held_out=1,
    )
    assert made["left_out"] == {"duplicates": 0, "overlap": 2}
    learned = {task.format(row) for row in np.asarray(read_dataset(tmp_path / "set").train.labels)}
    assert not learned & {answer for _, answer in rows[:2]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"generated": -1}, "--generated -1.*0 or more"),
        ({"eased": -3}, "--eased -3.*0 or more"),
        ({"held_out": 30}, "--held-out 30 of 30 puzzles.*fewer"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_impossible_settings_are_refused(
    files: Path, tmp_path: Path, wrong: dict[str, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        make_levels([files / "train.csv"], files / "test.csv", tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_a_file_of_another_size_is_refused(tmp_path: Path, files: Path) -> None:
    save(tmp_path / "small.csv", [("1..4...1.1..4...", "1234341221434321")])
    with pytest.raises(InputError, match=r"line 2.*81"):
        make_levels([tmp_path / "small.csv"], files / "test.csv", tmp_path / "set")


def test_the_command(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "make", "sudoku-levels", str(files / "train.csv"), "--test", str(files / "test.csv")]
    counts = ["--generated", "2", "--eased", "3", "--held-out", "1", "--processes", "1"]
    assert main([*words, "--out", str(tmp_path / "set"), *counts, "--json"]) == 0
    assert '"train": 35' in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "other"), "--eased", "-1"]) == 2
    assert "--eased -1" in capsys.readouterr().err
