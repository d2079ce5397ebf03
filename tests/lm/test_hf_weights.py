"""A run as a folder of Transformers and back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from thinkling.cli.main import main
from thinkling.errors import InputError
from thinkling.lm import hf_weights
from thinkling.lm.config import DecoderConfig
from thinkling.lm.hf_files import hf_config
from thinkling.lm.hf_weights import decoder_config, export_hf, import_hf
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import PRETRAINING, read_run

sys.path.insert(0, str(Path(__file__).parent / "gguf"))
from chat_run import SIZES, TEXT, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    write_run(folder, PRETRAINING)
    return folder


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few strings: what takes seconds is done once, in `test_the_command`."""
    monkeypatch.setattr(hf_weights, "strings", lambda: [TEXT, "0 1 23 456"])


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int) -> tuple[Any, str]:
    """The JSON object and standard error of `thinkling export hf`."""
    assert main(["export", "hf", *map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models" / "hf"
    values, errors = said(capsys, run, "--out", out, code=0)
    assert errors == ""
    assert values["path"] == str(out)
    assert values["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert values["checked"] is True
    assert 0 <= values["max_abs_diff"] <= values["tolerance"] == 1e-4
    assert values["strings"] > 10_000
    assert read_run(out).stage == PRETRAINING, "it is a run too"


@pytest.mark.usefixtures("fewer")
def test_half_the_size(run: Path, tmp_path: Path) -> None:
    written = export_hf(run, tmp_path / "hf", "bfloat16")
    assert written.checked
    assert AutoModelForCausalLM.from_pretrained(written.path, dtype="auto").dtype == torch.bfloat16
    stored = load_file(written.path / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}


@pytest.mark.usefixtures("fewer")
def test_averaged_weights_are_taken(tmp_path: Path) -> None:
    network = write_run(tmp_path / "run", num_layers=1)
    averaged = {name: value * 0.5 for name, value in network.state_dict().items()}
    (tmp_path / "run" / "manifest.json").unlink()
    save_file(averaged, tmp_path / "run" / "ema.safetensors")
    export_hf(tmp_path / "run", tmp_path / "hf")
    stored = load_file(tmp_path / "hf" / "model.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in averaged.items())


@pytest.mark.usefixtures("fewer")
def test_a_folder_that_differs_is_reported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another base of the rotary frequencies, and a tokenizer that normalises, as a faulty exporter would write."""
    write = hf_weights.write_hf_files

    def faulty(folder: Path, *rest: Any) -> None:
        write(folder, *rest)
        for name, changes in (
            (
                "config.json",
                {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
            ),
            ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}),
        ):
            path = folder / name
            path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    monkeypatch.setattr(hf_weights, "write_hf_files", faulty)
    values, errors = said(capsys, run, "--out", tmp_path / "hf", code=1)
    assert values["checked"] is False
    assert "strings are cut into other tokens" in errors
    assert "logits differ by" in errors


def test_without_transformers(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    written = export_hf(run, tmp_path / "hf")
    assert (written.checked, written.max_abs_diff) == (False, None)
    assert "pip install transformers" in written.note


def test_places_that_are_taken(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for out, says in (
        (tmp_path / "file", "a file"),
        (run, "the run itself"),
        (tmp_path, "holds other files"),
    ):
        _, errors = said(capsys, run, "--out", out, code=2)
        assert says in errors
        assert errors.count("\n") == 1


@pytest.mark.usefixtures("fewer")
def test_there_and_back(run: Path, tmp_path: Path) -> None:
    """Also after Transformers has written it in several files."""
    export_hf(run, tmp_path / "hf")
    assert import_hf(tmp_path / "hf", tmp_path / "back", PRETRAINING) == read_run(run).model
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="500KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    (tmp_path / "shards" / "tokenizer.json").write_text((run / "tokenizer.json").read_text(encoding="utf-8"))
    import_hf(tmp_path / "shards", tmp_path / "again")
    own = load_file(run / "model.safetensors")
    for folder in ("back", "again"):
        weights = load_file(tmp_path / folder / "model.safetensors")
        assert weights.keys() == own.keys()
        assert all(torch.equal(weights[name], value) for name, value in own.items())
    assert (read_run(tmp_path / "back").stage, read_run(tmp_path / "again").stage) == (PRETRAINING, "chat")


@pytest.mark.usefixtures("fewer")
def test_the_import_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_hf(run, tmp_path / "hf")
    out = tmp_path / "back"
    words = ["import", "hf", str(tmp_path / "hf"), "--out", str(out), "--stage", PRETRAINING, "--json"]
    assert main(words) == 0
    with torch.device("meta"):
        params = Decoder(SIZES).params
    assert json.loads(capsys.readouterr().out) == {"run": str(out), "params": params, "unmatched": []}
    assert read_run(out).model == read_run(run).model
    assert main([*words, "--data", str(tmp_path)]) == 2
    assert "--data or --reset-puzzle-embedding for a language model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "llama"}, "model_type 'llama'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings False"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type 'yarn'"),
        ({"rope_parameters": None, "rope_theta": None}, "without rope_theta"),
    ],
)
def test_settings_that_would_change_the_numbers_are_refused(changes: dict[str, Any], says: str) -> None:
    assert decoder_config(hf_config(SIZES)) == SIZES
    with pytest.raises(InputError, match=says):
        decoder_config({**hf_config(SIZES), **changes})


def test_what_cannot_be_imported(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without vocab_size, hidden_size"):
        decoder_config(
            {
                key: value
                for key, value in hf_config(DecoderConfig()).items()
                if key not in ("vocab_size", "hidden_size")
            }
        )
    with pytest.raises(InputError, match="the stage 'rl'"):
        import_hf(run, tmp_path / "x", "rl")
    other = tmp_path / "other"
    write_run(other, num_layers=1)
    weights = load_file(other / "model.safetensors")
    save_file(
        {**weights, "lm_head.weight": weights["model.embed_tokens.weight"] + 1}, other / "model.safetensors"
    )
    with pytest.raises(InputError, match=r"lm_head\.weight of its own"):
        import_hf(other, tmp_path / "x")
    save_file({"lm_head.weight": weights["model.norm.weight"]}, other / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.embed_tokens\.weight is missing"):
        import_hf(other, tmp_path / "x")
    assert not (tmp_path / "x").exists()
