"""`thinkling train lm-sft`: from files to a run, what it will cost, and bad input that leaves with 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli import train, train_sft
from thinkling.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from small_sft import digits, write_base_run, write_rows

SMALL = [
    "--batch-size",
    "8",
    "--train.steps",
    "4",
    "--train.compute-dtype",
    "float32",
    "--train.log-every",
    "2",
]


@pytest.fixture(autouse=True)
def _recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in train_sft.RECIPES:
        monkeypatch.setitem(train.KINDS, name, train_sft.defaults)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pre-trained run and problems."""
    folder = tmp_path_factory.mktemp("sft")
    write_base_run(folder / "base")
    write_rows(folder / "data.jsonl", digits(range(100, 400)))
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else None, told.err


def test_train_and_go_on(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "lm-sft", "--data", folder / "data.jsonl", "--out", tmp_path / "run", *SMALL]
    code, told, _ = said(capsys, *words, "--init", folder / "base")
    assert code == 0
    assert {"run", "step", "metrics"} <= set(told)
    assert set(told["metrics"]) == {"loss", "log_probability", "token_accuracy"}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["task"]["name"] == "chat"
    code, told, _ = said(capsys, *words, "--train.steps", 6, "--resume")
    assert (code, told["step"]) == (0, 6)
    code, told, _ = said(capsys, *words[:4], "--out", tmp_path / "more", *SMALL, "--init", tmp_path / "run")
    assert code == 0, "a run that has learned to chat is a start too"


@pytest.mark.parametrize("recipe", train_sft.RECIPES)
def test_dry_run_says_what_it_costs(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: str
) -> None:
    write_rows(tmp_path / "data.jsonl", digits([*range(100, 400), 10**90]))
    words = ["train", recipe, "--init", folder / "base", "--data", tmp_path / "data.jsonl"]
    code, told, err = said(capsys, *words, "--out", tmp_path / "run", "--dry-run", "--batch-size", 8)
    assert code == 0
    assert told["train_examples"] + told["validation_examples"] == 300
    assert told["too_long"] == 1
    assert "left out" in err
    assert told["steps"] == told["config"]["train"]["steps"] == -(-2 * told["train_rows"] // 8)
    assert told["flops"] == 6 * told["params"] * told["tokens"]
    assert told["config"]["checkpointing"] == (recipe == "lm-sft-large")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"messages": [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "b"}]}, "robot"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}, "assistant"),
        ({"task": "sum", "problem": "What is 1 + 1?", "answer": "3"}, "wrong"),
        ({"problem": "1+1?"}, "problem"),
    ],
)
def test_bad_rows_leave_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, row: dict[str, Any], named: str
) -> None:
    data = write_rows(tmp_path / "bad.jsonl", [*digits(range(3)), row])
    words = ["train", "lm-sft", "--init", folder / "base", "--data", data, "--out", tmp_path / "run", *SMALL]
    code, told, err = said(capsys, *words)
    assert (code, told) == (2, None)
    assert "bad.jsonl line 4" in err
    assert named in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data", "{data}"], "--init RUN"),
        (["--data", "{data}", "--init", "nowhere"], "nowhere"),
        (["--data", "nowhere.jsonl", "--init", "{base}"], "nowhere.jsonl"),
        (["--data", "{data}", "--init", "{base}", "--length", "65"], "length 65"),
        (["--data", "{data}", "--init", "{base}", "--length", "8"], "fits into 8 tokens"),
        (["--data", "{data}", "--init", "{base}", "--epochs", "-1"], "epochs"),
        (["--data", "{base}", "--init", "{base}"], "base"),
        (["--init", "{base}"], "--data"),
    ],
)
def test_bad_usage_leaves_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], named: str
) -> None:
    places = {"data": folder / "data.jsonl", "base": folder / "base"}
    code, _, err = said(
        capsys, "train", "lm-sft", "--out", tmp_path / "run", *(word.format(**places) for word in words)
    )
    assert code == 2
    assert named in err
    assert not (tmp_path / "run").exists()
