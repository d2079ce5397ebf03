"""`--search` of solve and eval: verified, or an honest end, and the model's own score apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.main import main
from thinkling.puzzles.puzzle_model import PuzzleModel, build
from thinkling.tasks.registry import get_task
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltingConfig

PUZZLE = Sudoku(4).format(make_candidates(4, (10, 10), 1, 0, 1).questions[0] + 1)


def run_folder(folder: Path, task: Task) -> Path:
    """A run whose small network has learned nothing."""
    model = {"vocab_size": task.vocab_size, "seq_len": task.seq_len, "hidden_size": 16, "num_heads": 2}
    model |= {"H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1}
    config: dict[str, Any] = {"product": "puzzles", "architecture": "hrm", "model": model}
    config |= {"task": task.settings(), "halting": {"max_steps": 3}}
    PuzzleModel(build("hrm", model), task, HaltingConfig(max_steps=3), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("runs") / "untrained", Sudoku(4))


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "puzzles.csv"
    made, task = make_candidates(4, (9, 10), 1, 0, 12), Sudoku(4)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "question", "answer", "rating"])
        for question, answer in zip(made.questions + 1, made.answers + 1, strict=True):
            rows.writerow(["made", task.format(question), task.format(answer), 0])
    return path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict[str, Any]], str]:
    capsys.readouterr()
    code = main([*map(str, words)])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines() if line.startswith("{")], err


def test_solve_with_search(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (told,), _ = said(capsys, "solve", run, PUZZLE, "--search", "--require-valid", "--json")
    assert code == 0
    assert (told["status"], told["solved_by"], told["search"]) == ("verified", "search", "answered")
    assert Sudoku(4).check(PUZZLE, told["answer"])
    assert told["segments"] >= told["steps"] == 3
    assert main(["solve", str(run), PUZZLE, "--search"]) == 0
    assert "the answer is the search's" in " ".join(capsys.readouterr().out.split())


def test_a_file_says_who_has_solved_how_many(
    run: Path, puzzles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, err = said(capsys, "solve", run, "--file", puzzles, "--search", "--require-valid", "--json")
    assert code == 0
    assert [each["solved_by"] for each in told] == ["search"] * 12
    assert "12 of 12 verified (0 by the network alone, 0 by breadth, 12 by search)" in err


def test_a_budget_that_is_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hard = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
    run = run_folder(tmp_path / "nine", Sudoku(9))
    words = ("solve", run, hard, "--search", "--budget", "3", "--require-valid", "--json")
    code, (told,), err = said(capsys, *words)
    assert code == 3
    assert (told["status"], told["search"], told["segments"]) == ("unsolved", "budget", 3)
    assert "--budget" in err


def test_eval_keeps_the_scores_apart(run: Path, puzzles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, (alone,), _ = said(capsys, "eval", run, "--data", puzzles, "--json")
    code, (told,), _ = said(capsys, "eval", run, "--data", puzzles, "--search", "--json")
    assert code == 0
    assert "search" not in alone
    assert told["exact_accuracy"] == alone["exact_accuracy"] == 0
    found = told["search"]
    assert (found["n"], found["network"], found["breadth"], found["search"], found["unsolved"]) == (
        12,
        0,
        0,
        1,
        0,
    )
    assert found["budget"] == 4096
    assert 3 <= found["mean_segments"] <= found["most_segments"] <= 4096


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--search", "--budget", "0"), "--budget 0"),
        (("--search", "--budget", "-5"), "--budget -5"),
        (("--budget", "50"), "--budget 50 without --search"),
    ],
)
def test_bad_budgets(
    run: Path, puzzles: Path, words: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("solve", run, PUZZLE), ("eval", run, "--data", puzzles)):
        code, _, err = said(capsys, *command, *words)
        assert code == 2
        assert named in err


def test_a_task_without_rules_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "arc", get_task({"name": "arc", "canvas": 4}))
    code, _, err = said(capsys, "solve", run, "[[1]]", "--search")
    assert code == 2
    assert "task arc" in err
    assert "maze or sudoku" in err
