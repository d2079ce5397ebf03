"""`thinkling train lm-grpo`: from files to a run, what it will cost, and bad input that leaves with 2."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling import native
from thinkling.cli import train, train_grpo
from thinkling.cli.main import main
from thinkling.lm.rl import train as rl_train
from thinkling.nn import cpu_kernels

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))
sys.path.insert(0, str(Path(__file__).parents[1] / "lm" / "rl"))

from small_grpo import vowel, write_problems, write_start

SMALL = ["--grpo.group-size", "4", "--grpo.prompts-per-step", "4", "--grpo.max-tokens", "8"]
SMALL += ["--train.steps", "2", "--train.warmup-steps", "0", "--guard", "off"]


@pytest.fixture(autouse=True)
def _recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in train_grpo.RECIPES:
        monkeypatch.setitem(train.KINDS, name, train_grpo.defaults)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random run and problems."""
    return write_start(tmp_path_factory.mktemp("grpo"))


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else None, told.err


def test_train_and_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rl_train, "get_reward", lambda name: vowel)
    words = ["train", "lm-grpo", "--data", folder / "data.jsonl", "--out", tmp_path / "run", *SMALL]
    code, told, _ = said(capsys, *words, "--init", folder / "start")
    assert code == 0
    assert told["step"] == 2
    assert set(told["metrics"]) == {
        "sampled_accuracy",
        "greedy_accuracy",
        "parse_rate",
        "truncated",
        "length",
    }
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["task"]["name"] == "chat"
    assert config["objective"]["grpo"]["group_size"] == 4
    code, told, _ = said(capsys, *words, "--train.steps", 3, "--resume")
    assert (code, told["step"]) == (0, 3)


def test_compiled_kernels_write_the_completions(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rl_train, "get_reward", lambda name: vowel)
    words = [
        "train",
        "lm-grpo",
        "--init",
        folder / "start",
        "--data",
        folder / "data.jsonl",
        *SMALL,
        "--compile",
    ]
    with monkeypatch.context() as without:
        without.setattr(native, "_COMPILERS", ())
        without.delenv("CXX", raising=False)
        without.setattr(cpu_kernels, "library", native.library.__wrapped__)
        cpu_kernels.cpu_kernels.cache_clear()
        code, _, err = said(capsys, *words, "--out", tmp_path / "none")
        assert (code, "install one" in err, (tmp_path / "none").exists()) == (2, True, False)
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    code, told, _ = said(capsys, *words, "--out", tmp_path / "run")
    assert (code, told["step"]) == (0, 2)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["objective"]["compile"]


@pytest.mark.parametrize("recipe", train_grpo.RECIPES)
def test_dry_run_says_what_it_costs(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, recipe: str
) -> None:
    words = ["train", recipe, "--init", folder / "start", "--data", folder / "data.jsonl", "--dry-run"]
    code, told, _ = said(capsys, *words, "--out", tmp_path / "run", *SMALL, "--grpo.updates-per-rollout", 2)
    assert code == 0
    assert (told["steps"], told["rollouts"], told["completions"]) == (2, 1, 16)
    assert told["train_problems"] + told["validation_problems"] == 12
    assert told["flops_at_most"] > 0
    assert told["config"]["grpo"]["clip_high"] == 0.28
    assert not (tmp_path / "run").exists()


def test_the_default_reward_is_the_judge_of_the_task(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A wrong answer to a generated problem is named before anything is trained."""
    rows = [{"task": "sum", "problem": f"What is {n} + 1?", "answer": str(n + 2)} for n in range(4)]
    data = write_problems(tmp_path / "data.jsonl", rows)
    words = ["train", "lm-grpo", "--init", folder / "start", "--data", data, "--out", tmp_path / "run"]
    code, _, err = said(capsys, *words, *SMALL)
    assert code == 2
    assert "data.jsonl line 1" in err
    assert "wrong" in err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data", "{data}"], "--init RUN"),
        (["--data", "{data}", "--init", "nowhere"], "nowhere"),
        (["--data", "nowhere.jsonl", "--init", "{start}"], "nowhere.jsonl"),
        (["--data", "{data}", "--init", "{start}", "--grpo.group-size", "1"], "group_size = 1"),
        (["--data", "{data}", "--init", "{start}", "--reward", "mood"], "'mood'"),
        (["--data", "{data}", "--init", "{start}", "--guard", "hope"], "--guard"),
        (["--data", "{unknown}", "--init", "{start}"], "line 1"),
        (["--data", "{bare}", "--init", "{start}"], "line 1"),
        (["--init", "{start}"], "--data"),
    ],
)
def test_bad_usage_leaves_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], named: str
) -> None:
    places = {
        "data": folder / "data.jsonl",
        "start": folder / "start",
        "unknown": write_problems(
            tmp_path / "unknown.jsonl", [{"problem": "1?", "answer": "1", "task": "summ"}]
        ),
        "bare": write_problems(tmp_path / "bare.jsonl", [{"problem": "1?"}]),
    }
    given = [word.format(**places) for word in words]
    code, told, err = said(capsys, "train", "lm-grpo", "--out", tmp_path / "run", *given)
    assert (code, told) == (2, None)
    assert named in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
