"""`thinkling export onnx`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.cli.main import main
from thinkling.data.tokenizer import TextTokenizer
from thinkling.models import load
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert import onnx_export
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import ThinkingBert


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny Thinking-BERT with random weights."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    tokenizer = TextTokenizer.train(["a small text, and a smaller one"] * 20, 280)
    config = ThinkingBertConfig(
        vocab_size=tokenizer.vocab_size,
        max_length=24,
        hidden_size=16,
        num_heads=2,
        inner_size=16,
        low_layers=1,
        L_cycles=1,
        high_level="none",
    )
    description = {
        "product": "thinking_bert",
        "architecture": "thinking_bert",
        "model": asdict(config),
        "task": {"name": "masked-language"},
        "halting": asdict(HaltingConfig(learning="halt_only", max_steps=3)),
    }
    network = ThinkingBert(config, torch.Generator().manual_seed(0))
    write_model_folder(folder, description, network.state_dict())
    tokenizer.save(folder / "tokenizer.json")
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int) -> tuple[Any, str]:
    """The JSON object and standard error of `thinkling export onnx`."""
    assert main(["export", "onnx", *map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


def test_export(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models" / "tiny.onnx"
    values, errors = said(capsys, run, "--out", out, code=0)
    assert values["path"] == str(out)
    assert values["bytes"] == out.stat().st_size
    assert values["checked"] is True
    assert 0 <= values["max_abs_diff"] <= values["tolerance"] == 1e-4
    assert errors == ""
    capsys.readouterr()
    assert main(["fill", str(out), "a small <mask>", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert main(["fill", str(run), "a small <mask>", "--compute-dtype", "float32", "--json"]) == 0
    assert exported["text"] == json.loads(capsys.readouterr().out)["text"]
    assert load(out).halting == load(run).halting


def test_a_file_that_differs_is_reported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another network's graph is written, as a faulty exporter would do."""

    def faulty(network: ThinkingBert, path: Path, metadata: dict[str, str]) -> None:
        write(ThinkingBert(network.config, torch.Generator().manual_seed(1)), path, metadata)

    write = onnx_export.write_onnx
    monkeypatch.setattr(onnx_export, "write_onnx", faulty)
    values, errors = said(capsys, run, "--out", tmp_path / "tiny.onnx", code=1)
    assert values["checked"] is False
    assert values["max_abs_diff"] > 1e-3
    assert "away from the run; allowed: 0.0001; report the fault; do not use this file" in errors


def test_bad_input_is_answered_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, errors = said(capsys, tmp_path / "nowhere", "--out", tmp_path / "x.onnx", code=2)
    assert "nowhere" in errors
    _, errors = said(capsys, run, "--out", tmp_path, code=2)
    assert "which is a folder" in errors
    _, errors = said(capsys, run, code=2)
    assert "--out" in errors
    other = tmp_path / "other"
    write_model_folder(other, {"product": "lm"}, {})
    _, errors = said(capsys, other, "--out", tmp_path / "x.onnx", code=2)
    assert "a run of the product 'lm'; allowed: puzzles, thinking_bert" in errors
    assert main(["export", "web", str(other), "--out", str(tmp_path / "site")]) == 2
    errors = capsys.readouterr().err
    assert "a run of the product 'lm'; allowed: puzzles" in errors
    assert not (tmp_path / "site").exists()
    assert not (tmp_path / "x.onnx").exists()
    assert errors.count("\n") == 1
