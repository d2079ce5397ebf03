"""`thinkling data make problems`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinkling.cli.main import main
from thinkling.tasks.problem import judged


def made(out: Path, *words: str) -> int:
    return main(
        [
            "data",
            "make",
            "problems",
            "--out",
            str(out),
            "--train",
            "30",
            "--validation",
            "5",
            "--test",
            "7",
            *words,
        ]
    )


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_three_files_with_verified_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made(tmp_path / "a", "--tasks", "sum, sort", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["train"], said["validation"], said["test"]) == (30, 5, 7)
    train = rows(tmp_path / "a" / "train.jsonl")
    assert len(train) == 30
    assert {row["task"] for row in train} == {"sum", "sort"}
    assert all(
        row["reasoning"] and judged(row["task"], row["problem"], row["answer"], row["answer"])
        for row in train
    )
    assert len(rows(tmp_path / "a" / "test.jsonl")) == 7


def test_the_same_seed_gives_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = []
    for name, words in (("a", []), ("b", []), ("c", ["--seed", "1"])):
        assert made(tmp_path / name, "--json", *words) == 0
        hashes.append(json.loads(capsys.readouterr().out)["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_answers_without_reasoning(tmp_path: Path) -> None:
    assert made(tmp_path / "a", "--answers-only") == 0
    assert all("reasoning" not in row for row in rows(tmp_path / "a" / "train.jsonl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--tasks", "sums"], "did you mean 'sum'"), (["--train", "-1"], "-1 problems for train")],
)
def test_bad_settings_write_nothing(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(tmp_path / "a", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    assert made(tmp_path / "a") == 2
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"


def test_checking_finds_wrong_answers_and_questions_in_two_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a"
    assert made(folder) == 0
    capsys.readouterr()
    assert main(["data", "check", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["train"], said["validation"], said["test"]) == (30, 5, 7)
    assert said["overlap"] == 0
    assert said["faults"] == []
    train, test = folder / "train.jsonl", folder / "test.jsonl"
    wrong = json.dumps({"task": "sum", "problem": "What is 2 + 2?", "answer": "5"})
    train.write_text(train.read_text() + wrong + "\n" + train.read_text().splitlines()[0] + "\n")
    test.write_text(test.read_text() + train.read_text().splitlines()[0] + "\n")
    assert main(["data", "check", str(folder), "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["duplicates"], said["overlap"], len(said["faults"])) == (1, 1, 2)
    assert "train.jsonl line 31" in said["faults"][0]
    assert "test.jsonl line 8: a question that train.jsonl has too" in said["faults"][1]
