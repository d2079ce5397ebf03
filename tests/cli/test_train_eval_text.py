"""Training and scoring a Thinking-BERT by the commands, on a small model trained here."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "thinking_bert"))

from small_encoder import sentences

SETTINGS = {
    "model.vocab-size": 300,
    "model.max-length": 32,
    "model.hidden-size": 32,
    "model.num-heads": 2,
    "model.inner-size": 32,
    "model.low-layers": 2,
    "model.high-layers": 1,
    "halting.max-steps": 2,
    "halting.limit-growth": 4,
    "train.steps": 8,
    "train.log-every": 2,
    "train.warmup-steps": 2,
    "train.validate-every": 4,
    "validation-rows": 8,
    "train.compute-dtype": "float32",
    "stages.0.length": 16,
    "stages.1.length": 24,
    "stages.2.length": 32,
}
SMALL = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    out = capsys.readouterr().out.splitlines()
    return code, json.loads(out[0]) if out else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, and a run that tokenised and learned it."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in sentences(150, least=8, most=40)),
        encoding="utf-8",
    )
    words = [
        "train",
        "thinking-bert-quick",
        "--data",
        str(folder / "corpus.jsonl"),
        "--out",
        str(folder / "run"),
    ]
    assert main([*words, *SMALL, "--quiet"]) == 0
    return folder


def test_a_run_folder_is_whole(folder: Path) -> None:
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "metrics.jsonl",
        "report.md",
        "README.md",
    ):
        assert (folder / "run" / name).exists(), name
    config = json.loads((folder / "run" / "config.json").read_text())
    assert [stage["length"] for stage in config["objective"]["stages"]] == [16, 24, 32]


def test_eval_scores_masked_tokens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "eval",
        folder / "run",
        "--data",
        folder / "run" / "text",
        "--baseline",
        "--curve",
        "--pseudo-perplexity",
        2,
    ]
    code, told = said(capsys, *words)
    assert code == 0
    contract = {
        "n",
        "exact_accuracy",
        "cell_accuracy",
        "valid_rate",
        "mean_steps",
        "p95_steps",
        "wrong_but_confident",
        "seconds",
        "examples_per_second",
    }
    assert contract <= set(told)
    assert len(told["accuracy_by_step"]) == len(told["pseudo_perplexity_by_step"]) == 2
    assert 0 < told["baseline_accuracy"] < 1
    assert len(told["halting_curve"]) == 21
    low, high = told["masked_accuracy_interval"]
    assert low <= told["masked_accuracy"] <= high
    _, fixed = said(capsys, *words, "--halt", "never", "--steps", 1)
    assert fixed["mean_steps"] == 1.0
    assert math.isclose(fixed["masked_accuracy"], told["accuracy_by_step"][0], abs_tol=1e-9)


def test_dry_run_says_what_it_costs(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, told = said(capsys, "train", "thinking-bert", "--out", tmp_path / "run", "--dry-run")
    assert code == 0
    assert told["params"] > 5e6
    assert told["flops"] > told["flops_per_token_round"] * 1000
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "{corpus}"], "corpus.jsonl"),
        (["--data", "{store}", "--steps", "-1"], "--steps"),
        (["--data", "{store}", "--slots", "0"], "--slots"),
        (["--data", "{store}", "--mask-rate", "2"], "rate"),
        (["--data", "{store}", "--length", "64"], "64"),
        (["--data", "{store}", "--halt", "valid"], "valid"),
        (["--data", "{store}", "--threshold", "1.5"], "threshold"),
    ],
)
def test_bad_input_of_eval(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    places = {"corpus": folder / "corpus.jsonl", "store": folder / "run" / "text"}
    capsys.readouterr()
    assert main(["eval", str(folder / "run"), *(word.format(**places) for word in words)]) == 2
    assert named in capsys.readouterr().err


def test_a_corpus_with_another_vocabulary(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert (
        main(
            [
                "data",
                "import",
                "text",
                str(folder / "corpus.jsonl"),
                "--out",
                str(other),
                "--vocab-size",
                "280",
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert main(["eval", str(folder / "run"), "--data", str(other)]) == 2
    assert "another vocabulary" in capsys.readouterr().err


def test_bench_measures_halting_and_filling(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, store = folder / "run", folder / "run" / "text"
    code, told = said(capsys, "bench", "text-adaptive", "--run", run, "--data", store, "--repeats", 1)
    assert code == 0
    assert set(told) >= {"speedup", "rounds_saved", "relative_accuracy_lost", "hardware", "seconds"}
    code, told = said(capsys, "bench", "fill", "--run", run, "--sentences", 20, "--tokens", 12)
    assert code == 0
    assert told["fixed"]["mean_steps"] == 2.0


def test_bench_measures_training(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--recipe", "thinking-bert-quick", "--batch-size", 2, "--length", 16, "--steps", 1]
    code, told = said(capsys, "bench", "text-train", *words)
    assert code == 0
    assert 0 < told["share_of_matmul_rate"] < 1
    assert told["token_rounds_per_second"] > 0


def test_a_run_of_another_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A text run is no puzzle model, and the message says so."""
    assert main(["solve", str(folder / "run"), "1..4...1.1..4..."]) == 2
    assert "thinking_bert" in capsys.readouterr().err
