"""Pre-training a language model by the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkling.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from small_pretrain import stories, write_corpus

SETTINGS = {
    "model.vocab-size": 330,
    "model.max-length": 64,
    "model.hidden-size": 32,
    "model.num-layers": 2,
    "model.num-heads": 2,
    "model.num-kv-heads": 1,
    "model.head-dim": 16,
    "model.inner-size": 64,
    "length": 32,
    "batch-size": 4,
    "train.steps": 6,
    "train.accumulation": 2,
    "train.log-every": 2,
    "train.validate-every": 3,
    "train.compute-dtype": "float32",
    "validation-rows": 4,
    "sample-tokens": 4,
}
SMALL = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    out = captured.out.splitlines()
    return code, json.loads(out[0]) if out else None, captured.err


def test_train_and_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two corpora with weights by phase; the same command with --resume has nothing left to do."""
    corpora = [write_corpus(tmp_path / f"{name}.txt", stories(60, seed)) for seed, name in enumerate("ab")]
    words = ["train", "lm-1m", "--out", tmp_path / "run", *SMALL]
    words += [word for corpus in corpora for word in ("--data", corpus)]
    words += ["--phases.0.weights", "1", "3"]
    code, found, err = said(capsys, *words)
    assert code == 0
    assert (found["step"], found["stopped"]) == (6, "done")
    assert {"bits_per_byte", "bits_per_byte_a", "bits_per_byte_b"} <= found["metrics"].keys()
    assert "sample:" in err
    code, again, _ = said(capsys, *words, "--resume")
    assert (code, again["metrics"]) == (0, found["metrics"])
    code, _, err = said(capsys, *words)
    assert code == 2
    assert "--resume" in err


def test_dry_run_of_a_tokenised_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters with the corpus's vocabulary, tokens, memory, operations, and how often the corpus is read."""
    corpus = write_corpus(tmp_path / "a.txt", stories(100))
    imported = [
        "data",
        "import",
        "text",
        corpus,
        "--for",
        "lm",
        "--vocab-size",
        "300",
        "--out",
        tmp_path / "a",
    ]
    assert said(capsys, *imported)[0] == 0
    words = ["train", "lm-1m", "--data", tmp_path / "a", "--out", tmp_path / "run", *SMALL, "--dry-run"]
    code, found, _ = said(capsys, *words)
    assert code == 0
    assert found["config"]["model"]["vocab_size"] == 300
    assert found["tokens"] == 6 * 2 * 4 * 32
    assert found["tokens_per_step"] == 2 * 4 * 32
    assert found["flops"] == pytest.approx(found["flops_per_token"] * found["tokens"])
    assert found["memory_bytes"] > 16 * found["params"]
    assert found["epochs"]["a"] > 0
    assert not (tmp_path / "run").exists()


def test_published_sizes_are_planned_without_being_built(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, _ = said(capsys, "train", "lm-3b", "--out", "nowhere", "--dry-run", "--device", "cpu")
    assert code == 0
    assert found["params"] == pytest.approx(2.87e9, rel=0.01)
    assert found["tokens_per_step"] == 2**19


def test_no_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "train", "lm-1m", "--out", tmp_path / "run")
    assert code == 2
    assert "add --data DIR" in err
