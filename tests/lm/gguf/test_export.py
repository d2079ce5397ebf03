"""A run as a GGUF file: what is in it, that llama.cpp agrees with it, and that a wrong file is found out."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from thinkling.cli.main import main
from thinkling.data.chat_template import CHAT_TEMPLATE
from thinkling.data.chat_tokenizer import SPECIALS, ChatTokenizer
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.gguf import export, fields, verify
from thinkling.lm.gguf.export import export_gguf
from thinkling.lm.gguf.fields import TYPES, GgufType, check_type, tensor_name, tokenizer_fields
from thinkling.lm.gguf.llama_runtime import LlamaCpp
from thinkling.lm.gguf.reference import rounded
from thinkling.lm.gguf.samples import NUMBERS, STRINGS, strings
from thinkling.lm.presets import PRESETS

sys.path.insert(0, str(Path(__file__).parent))
from chat_run import SIZES, TEXT, write_run

pytest.importorskip("llama_cpp", reason="compared with llama.cpp itself")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    write_run(folder)
    return folder


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few strings and a short text: what takes seconds is done once, in `test_the_command`."""
    monkeypatch.setattr(verify, "strings", lambda: [TEXT, "0 1 23 456"])
    monkeypatch.setattr(export, "PREDICTED_TOKENS", 100)


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int) -> tuple[Any, str]:
    """The JSON object and standard error of `thinkling export gguf`."""
    assert main(["export", "gguf", *map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


def test_the_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PREDICTED_TOKENS", 300)
    out = tmp_path / "models" / "small.gguf"
    values, errors = said(capsys, run, "--out", out, code=0)
    assert errors == ""
    assert values["path"] == str(out)
    assert values["bytes"] == out.stat().st_size
    assert values["type"] == "bf16"
    assert values["checked"] is True
    assert 0 < values["max_abs_diff"] <= 1e-2 < values["tolerance"] == 4e-2
    assert 0 < values["rms_diff"] < values["max_abs_diff"]
    assert 0 < values["unrounded_diff"] < 1e-4
    assert values["strings"] > STRINGS
    assert values["greedy_tokens"] == 64
    assert values["faults"] == []
    rows = {row["type"]: row for row in values["table"]}
    assert rows.keys() == {"run", *TYPES}
    assert all(abs(row["perplexity"] / rows["run"]["perplexity"] - 1) < 0.02 for row in rows.values())
    assert rows["bf16"]["same_token"] > 0.97
    assert rows["q4_0"]["bytes"] < rows["q8_0"]["bytes"] < rows["bf16"]["bytes"] == values["bytes"]
    assert [path.name for path in out.parent.iterdir()] == ["small.gguf"], "nothing else is left"


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "bf16"])
def test_every_type(run: Path, tmp_path: Path, kind: GgufType) -> None:
    written = export_gguf(run, tmp_path / "m.gguf", kind, every_type=False)
    assert written.checked, written.faults
    assert [row.kind for row in written.table] == ["run", "bf16", kind]
    stored = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(written.path).tensors}
    expected = {
        "f16": ("F16", "F16"),
        "q8_0": ("Q8_0", "Q8_0"),
        "q4_0": ("Q4_0", "Q8_0"),
        "q4_k_m": ("Q4_K", "Q6_K"),
    }
    assert (stored["blk.0.attn_q.weight"], stored["token_embd.weight"]) == expected[kind]
    assert stored["blk.0.attn_q_norm.weight"] == stored["output_norm.weight"] == "F32"


@pytest.mark.usefixtures("fewer")
def test_what_is_in_the_file(run: Path, tmp_path: Path) -> None:
    path = export_gguf(run, tmp_path / "m.gguf", every_type=False).path
    reader = gguf.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert values["general.architecture"] == "qwen3"
    assert values["general.name"] == run.name
    assert (values["tokenizer.ggml.model"], values["tokenizer.ggml.pre"]) == ("gpt2", "qwen2")
    assert values["qwen3.attention.key_length"] == values["qwen3.attention.value_length"] == SIZES.head_dim
    assert values["qwen3.rope.freq_base"] == SIZES.rope_base
    assert values["tokenizer.ggml.eos_token_id"] == SPECIALS.index("<|im_end|>")
    assert values["tokenizer.ggml.add_bos_token"] is False
    assert values["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert tuple(values["tokenizer.ggml.tokens"][: len(SPECIALS)]) == SPECIALS
    assert values["tokenizer.ggml.token_type"][:9] == [3, 3, 3, 3, 4, 4, 3, 3, 1]
    weights = load_file(run / "model.safetensors")
    stored = {tensor.name: tensor for tensor in reader.tensors}
    assert stored.keys() == {tensor_name(name) for name in weights}
    assert "output.weight" not in stored, "tied"
    matrix = stored["blk.1.ffn_down.weight"]
    expected = weights["model.layers.1.mlp.down_proj.weight"].bfloat16().float()
    assert torch.equal(torch.tensor(gguf.dequantize(matrix.data, matrix.tensor_type)), expected)


def test_the_strings_hold_every_number() -> None:
    made = list(strings())
    assert len(made) == STRINGS
    found = {int(number) for text in made[: NUMBERS // 100] for number in re.findall(r"\d+", text)}
    assert found == set(range(NUMBERS))


def faulty(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let every file be written from other weights or fields than the run's."""
    write = export.write_gguf

    def write_changed(path: Path, weights: Mapping[str, Tensor], *rest: Any) -> None:
        write(path, change(dict(weights)), *rest)

    monkeypatch.setattr(export, "write_gguf", write_changed)


def swapped(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    first, second = (f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up"))
    return {**weights, first: weights[second], second: weights[first]}


@pytest.mark.usefixtures("fewer")
def test_swapped_weights_are_found_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp agrees with such a file: only the comparison with the run's own weights can tell."""
    faulty(monkeypatch, swapped)
    values, errors = said(capsys, run, "--out", tmp_path / "m.gguf", "--only-type", "--type", "q8_0", code=1)
    assert values["checked"] is False
    assert "blk.0.ffn_gate.weight (Q8_0) differs from the run's weights by 1" in errors
    assert "do not use it" in errors


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("qwen3.rope.freq_base", 10_000.0, "logits"),
        ("qwen3.attention.layer_norm_rms_epsilon", 1e-1, "logits"),
        ("tokenizer.ggml.eos_token_id", 0, "an answer ends at token 0, not at 7"),
        ("tokenizer.ggml.pre", "gpt-2", "strings are cut into other tokens"),
        ("tokenizer.ggml.merges", ["e r"], "strings are cut into other tokens"),
        ("tokenizer.ggml.token_type", [1] * 300, "strings are cut into other tokens"),
    ],
)
def test_wrong_fields_are_found_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, says: str
) -> None:
    module = importlib.import_module("thinkling.lm.gguf.write")
    name = "tokenizer_fields" if key.startswith("tokenizer") else "model_fields"
    made = getattr(fields, name)
    if key == "tokenizer.ggml.token_type":
        value = value[: json.loads((run / "config.json").read_text())["vocab_size"]]
    monkeypatch.setattr(module, name, lambda *given: {**made(*given), key: value})
    written = export_gguf(run, tmp_path / "m.gguf", every_type=False)
    assert not written.checked
    assert any(says in fault for fault in written.faults), written.faults


@pytest.mark.usefixtures("fewer")
def test_a_file_that_llama_cpp_cannot_read_is_an_error(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_short(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in weights.items() if "1.mlp.up_proj" not in name}

    faulty(monkeypatch, one_short)
    _, errors = said(capsys, run, "--out", tmp_path / "m.gguf", code=1)
    assert "other tensors than the model: blk.1.ffn_up.weight" in errors
    (tmp_path / "no.gguf").write_bytes(b"GGUF, but not really")
    with pytest.raises(ThinklingError, match=r"llama\.cpp cannot read .*no\.gguf"):
        LlamaCpp(tmp_path / "no.gguf", 32)


def test_without_llama_cpp_the_file_is_written_and_said_to_be_unverified(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    values, errors = said(capsys, run, "--out", tmp_path / "m.gguf", "--type", "q8_0", code=0)
    assert values["checked"] is False
    assert values["max_abs_diff"] is None
    assert (tmp_path / "m.gguf").stat().st_size == values["bytes"]
    assert "not compared, because llama-cpp-python is not installed: pip install 'thinkling[gguf]'" in errors
    _, errors = said(capsys, run, "--out", tmp_path / "k.gguf", "--type", "q4_k_m", code=2)
    assert "--type q4_k_m without the package llama-cpp-python" in errors
    monkeypatch.setitem(sys.modules, "gguf", None)
    _, errors = said(capsys, run, "--out", tmp_path / "n.gguf", code=2)
    assert "without the package gguf" in errors
    assert not (tmp_path / "k.gguf").exists()
    assert not (tmp_path / "n.gguf").exists()


def test_bad_input_is_answered_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in (
        ((tmp_path / "nowhere", "--out", tmp_path / "x.gguf"), "nowhere does not exist"),
        ((run, "--out", tmp_path), "which is a folder"),
        ((run, "--out", tmp_path / "x.gguf", "--type", "q5_0"), "'q5_0'; allowed: bf16, f16, q8_0"),
        ((run,), "--out"),
        ((run, "--out", tmp_path / "x.gguf", "--text", tmp_path / "none.txt"), "none.txt: no such file"),
    ):
        _, errors = said(capsys, *words, code=2)
        assert says in errors
        assert errors.count("\n") == 1


def test_a_type_that_the_shapes_do_not_allow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "odd", inner_size=272)
    for kind, block in (("q8_0", 32), ("q4_0", 32), ("q4_k_m", 256)):
        out = tmp_path / f"{kind}.gguf"
        _, errors = said(capsys, tmp_path / "odd", "--out", out, "--type", kind, code=2)
        assert f"--type {kind} for blk.0.ffn_down.weight, whose rows have 272 values" in errors
        assert f"a multiple of {block}; choose --type bf16 or f16" in errors
        assert not out.exists()


@pytest.mark.usefixtures("fewer")
def test_falling_back(tmp_path: Path) -> None:
    """As with the published sizes, whose inner widths are no multiple of 256."""
    write_run(tmp_path / "run", inner_size=288)
    with pytest.raises(
        InputError, match=r"have 288 values; .*add --fall-back .*choose --type bf16 or f16 or q8_0"
    ):
        export_gguf(tmp_path / "run", tmp_path / "m.gguf", "q4_k_m")
    written = export_gguf(tmp_path / "run", tmp_path / "m.gguf", "q4_k_m", fall_back=True, every_type=False)
    assert written.checked, written.faults
    stored = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(written.path).tensors}
    assert stored["blk.0.ffn_down.weight"] in ("Q5_0", "Q8_0")
    assert stored["blk.0.ffn_up.weight"] == "Q4_K"


def test_which_presets_allow_which_type() -> None:
    refused = []
    for name, config in PRESETS.items():
        for kind in TYPES:
            try:
                check_type(kind, config)
            except InputError:
                refused.append((name, kind))
    assert refused == [(name, "q4_k_m") for name in ("1m", "15m", "500m", "1b")]
    check_type("q4_k_m", PRESETS["500m"], fall_back=True)


@pytest.mark.parametrize(("value", "kind", "says"), [("nan", "bf16", "not finite"), ("1e5", "f16", "as f16")])
def test_weights_that_no_file_can_hold(tmp_path: Path, value: str, kind: GgufType, says: str) -> None:
    write_run(tmp_path / "run", num_layers=1)
    weights = load_file(tmp_path / "run" / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = float(value)
    save_file(weights, tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(InputError, match=rf"blk\.0\.ffn_up\.weight .*{says}"):
        export_gguf(tmp_path / "run", tmp_path / "m.gguf", kind)
    assert not (tmp_path / "m.gguf").exists()


def test_rows_without_a_token_are_named() -> None:
    tokenizer = ChatTokenizer.train([TEXT], 270)
    made = tokenizer_fields(tokenizer, 272)
    assert made["tokenizer.ggml.tokens"][269:] == [
        *made["tokenizer.ggml.tokens"][269:270],
        "<unused270>",
        "<unused271>",
    ]
    assert made["tokenizer.ggml.token_type"][-3:] == [1, 5, 5]


@pytest.mark.parametrize("kind", ["Q8_0", "F16", "BF16"])
def test_activations_are_rounded_as_the_format_stores_them(kind: str) -> None:
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    which = gguf.GGMLQuantizationType[kind]
    expected = torch.tensor(gguf.dequantize(gguf.quantize(x.numpy(), which), which))
    assert torch.allclose(rounded(x, kind), expected, atol=1e-7)
    assert torch.equal(rounded(torch.zeros(1, 256), "Q4_K"), torch.zeros(1, 256))
    with pytest.raises(ThinklingError, match="IQ3_S"):
        rounded(x, "IQ3_S")
