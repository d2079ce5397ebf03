"""`thinkling lm preflight`: what it says, what it keeps, and how it leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli import lm, lm_preflight
from thinkling.cli.arguments import Subcommand
from thinkling.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from small_decoder import write_random_run
from small_sft import digits, short_recipe, write_base_run, write_rows

from thinkling.data.conversations import conversations
from thinkling.lm.sft import train_sft

FAST = ["--grpo.max-tokens", 24, "--grpo.prompts-per-step", 4, "--quiet"]


@pytest.fixture(autouse=True)
def _subcommand(monkeypatch: pytest.MonkeyPatch) -> None:
    subcommand = Subcommand(arguments=lm_preflight.Arguments, run=lm_preflight.run, summary="")
    monkeypatch.setitem(lm.SUBCOMMANDS, "preflight", subcommand)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that solves its problems about every other time, one with random weights, and problems."""
    folder = tmp_path_factory.mktemp("preflight")
    base, data = write_base_run(folder / "base"), write_rows(folder / "data.jsonl", digits(range(100, 400)))
    train_sft(short_recipe(steps=65, validate_every=1000), base, data, folder / "chat", quiet=True)
    write_random_run(folder / "random")
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = main(["lm", "preflight", *map(str, words), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else None, told.err


def test_something_to_learn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [folder / "chat", "--data", folder / "data.jsonl", "--problems", 40, *FAST]
    code, told, _ = said(capsys, *words)
    assert code == 0
    assert told["ok"] is True
    assert told["n"] == 40
    assert 0.1 < told["pass_at_1"] < told["pass_at_8"]
    low, high = told["pass_at_1_interval"]
    assert low < told["pass_at_1"] < high
    assert 0 < told["parse_rate"] < 1
    assert 0 <= told["groups_without_signal"] < 0.5
    assert told["seconds_per_step"] > 0
    assert told["memory_bytes"] > 1e6
    assert (told["group_size"], told["prompts_per_step"], told["reward"]) == (8, 4, "task")
    assert said(capsys, *words)[1]["pass_at_1"] == told["pass_at_1"], "the same seed, the same draws"


def test_nothing_to_learn_leaves_with_4_and_advice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = said(
        capsys, folder / "random", "--task", "sum,compare", "--problems", 6, "--no-step", *FAST
    )
    assert code == 4
    assert told["ok"] is False
    assert told["pass_at_8"] < 0.1
    assert "fine-tune longer" in told["advice"][0]
    assert set(told["by_task"]) <= {"sum", "compare"}
    assert "seconds_per_step" not in told


def test_what_a_person_sees(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lm", "preflight", folder / "chat", "--data", folder / "data.jsonl", "--problems", 8, *FAST]
    assert main(list(map(str, words))) == 0
    shown = capsys.readouterr().out
    for part in ("pass@1", "pass@8", "95 %", "groups without signal", "a step", "memory", "can learn"):
        assert part in shown, part


def test_problems_of_the_right_difficulty_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """All problems are tried, and what is kept can be tried again: the rates in the rows are those it had."""
    words = [folder / "chat", "--data", folder / "data.jsonl", "--no-step", *FAST]
    kept = tmp_path / "kept.jsonl"
    code, told, _ = said(capsys, *words, "--out", kept, "--low", 0.25, "--high", 0.75)
    assert code == 0
    assert told["n"] == 300
    filtered = told["filtered"]
    assert filtered["kept"] + filtered["too_easy"] + filtered["too_hard"] == 300
    assert filtered["kept"] == round(told["share_in_range"] * 300) > 0
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(rows) == len(list(conversations(kept))) == filtered["kept"]
    assert {row["pass_samples"] for row in rows} == {8}
    assert {row["pass_rate"] for row in rows} <= {0.25, 0.375, 0.5, 0.625, 0.75}
    before = {row["problem"]: row for row in digits(range(100, 400))}
    assert all(row.items() >= before[row["problem"]].items() for row in rows)
    mean = sum(row["pass_rate"] for row in rows) / len(rows)
    again = said(
        capsys, folder / "chat", "--data", kept, "--problems", 0, "--train.seed", 5, "--no-step", *FAST
    )[1]
    assert again["n"] == len(rows)
    assert again["pass_at_1"] == pytest.approx(mean, abs=0.15)
    assert again["groups_without_signal"] < told["groups_without_signal"]


def test_nothing_in_range_leaves_with_4(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "data.jsonl", digits(range(100, 120)))
    words = [folder / "chat", "--data", data, "--no-step", "--out", tmp_path / "kept.jsonl", *FAST]
    code, told, _ = said(capsys, *words, "--low", 0.51, "--high", 0.52)
    assert code == 4
    assert "nothing was written" in told["advice"][0]
    assert told["filtered"]["path"] is None
    assert not (tmp_path / "kept.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("{chat}", "--task"),
        ("{chat} --task sum --data {data}", "--task"),
        ("{chat} --task summ", "did you mean 'sum'"),
        ("{chat} --task sum,gym:leg_counting", "gym:leg_counting"),
        ("{chat} --task sum --out kept.jsonl", "data make problems"),
        ("{chat} --task sum --problems 0", "--problems 0"),
        ("{chat} --task sum --samples 4", "4 samples"),
        ("{chat} --task sum --grpo.group-size 1", "group_size"),
        ("{chat} --task sum --grpo.group-size 16", "16 or more"),
        ("{chat} --task sum --reward telepathy", "telepathy"),
        ("{chat} --task sum --least-pass-at-8 2", "--least-pass-at-8"),
        ("nowhere --task sum", "nowhere"),
        ("{base} --task sum", "lm-sft"),
        ("{chat} --data nowhere.jsonl", "nowhere.jsonl"),
        ("{chat} --data {data} --out {data}", "exists"),
        ("{chat} --data {data} --out kept.jsonl --low 0.9 --high 0.1", "--low 0.9"),
        ("{chat} --data {long}", "long.jsonl line 3"),
        ("{chat} --data {unanswered}", "unanswered.jsonl line 3"),
    ],
)
def test_bad_input_leaves_with_2_before_anything_is_tried(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: str,
    named: str,
) -> None:
    monkeypatch.setattr("thinkling.cli.lm_preflight.load", None)
    monkeypatch.setattr("thinkling.cli.lm_preflight.preflight", None)
    monkeypatch.chdir(tmp_path)
    rows = list(digits(range(2)))
    places = {
        "chat": folder / "chat",
        "base": folder / "base",
        "data": folder / "data.jsonl",
        "long": write_rows(tmp_path / "long.jsonl", [*rows, {"problem": "1 2 " * 99, "answer": "1"}]),
        "unanswered": write_rows(tmp_path / "unanswered.jsonl", [*rows, {"problem": "1?"}]),
    }
    code, told, err = said(capsys, *words.format(**places).split())
    assert (code, told) == (2, None)
    assert named in err
    assert len(err.strip().splitlines()) == 1
