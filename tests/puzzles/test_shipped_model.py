"""The Sudoku model that comes with the package answers, and weights survive being stored in half precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import thinkling
from thinkling.artifacts.run_folder import WEIGHTS
from thinkling.artifacts.weights import load_weights
from thinkling.cli.main import main
from thinkling.data.csv_tables import PuzzleRow, write_rows
from thinkling.models import product_of
from thinkling.puzzles.load import load
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates

EASY = 20


def easy_puzzles() -> list[tuple[str, str]]:
    """Puzzles with 30 to 36 blanks, and their solutions."""
    made, task = make_candidates(9, (30, 36), 99, 0, EASY), Sudoku(9)
    return [
        (task.format(question + np.uint8(1)), task.format(answer + np.uint8(1)))
        for question, answer in zip(made.questions, made.answers, strict=True)
    ]


def test_it_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert product_of("sudoku") == "puzzles"
    assert thinkling.load("sudoku").config["task"] == {"name": "sudoku", "size": 9}


def test_it_solves_easy_puzzles() -> None:
    """One chain, no search."""
    model = load("sudoku", compute_dtype="float32")
    statuses = [model.solve(question).status for question, _ in easy_puzzles()]
    assert statuses.count("verified") >= EASY - 1


def test_the_commands_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = easy_puzzles()
    assert main(["solve", "sudoku", rows[0][0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == rows[0][1]
    write_rows(
        tmp_path / "easy.csv", [PuzzleRow(line=0, question=q, answer=a, source="made") for q, a in rows]
    )
    assert main(["eval", "sudoku", "--data", "easy.csv", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["n"] == EASY
    assert scored["exact_accuracy"] >= 0.9


def test_half_precision_halves_the_file_and_rounds_the_weights(trained: Path, tmp_path: Path) -> None:
    model = load(trained, compute_dtype="float32")
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "half", dtype="bfloat16")
    whole, half = load_weights(tmp_path / "whole" / WEIGHTS), load_weights(tmp_path / "half" / WEIGHTS)
    assert {tensor.dtype for tensor in whole.values()} == {torch.float32}
    for name, tensor in half.items():
        assert torch.equal(tensor, whole[name].to(torch.bfloat16))
    bytes_of = [(tmp_path / kind / WEIGHTS).stat().st_size for kind in ("whole", "half")]
    assert bytes_of[1] < 0.6 * bytes_of[0]
    loaded = load(tmp_path / "half", compute_dtype="float32").network.state_dict()
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    assert torch.equal(loaded["lm_head.weight"], half["lm_head.weight"].float())
