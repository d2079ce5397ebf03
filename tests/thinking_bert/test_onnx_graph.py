"""One round as an ONNX graph computes what the network computes, for every kind of high level."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_encoder import small_config, write_random_run

from thinkling.artifacts import onnx_writing
from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError, ThinklingError
from thinkling.thinking_bert import onnx_graph
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.model import ThinkingBert, groups_of
from thinkling.thinking_bert.onnx_encoder import OnnxEncoder
from thinkling.thinking_bert.onnx_export import TOLERANCE, comparison_batches, differences, export_onnx


@pytest.mark.parametrize(
    "changes",
    [
        {"high_level": "vector", "activation": "silu", "low_layers": 1, "L_cycles": 1},
        {"high_level": "none", "L_cycles": 1, "max_length": 640},
    ],
    ids=lambda changes: changes["high_level"],
)
def test_graph_and_network_agree(changes: dict[str, Any], tmp_path: Path) -> None:
    write_random_run(tmp_path / "run", **changes)
    found = export_onnx(tmp_path / "run", tmp_path / "deeper" / "model.onnx")
    assert found.checked
    assert found.max_abs_diff <= TOLERANCE
    assert found.bytes == found.path.stat().st_size
    assert [path.name for path in found.path.parent.iterdir()] == ["model.onnx"]
    network = EncoderModel.from_folder(tmp_path / "run", compute_dtype="float32").network
    exported = OnnxEncoder.from_file(found.path).network
    if network.config.max_length == 640:  # from 512 positions on the network takes another path
        long = row(600, network.config.vocab_size)
        with torch.inference_mode():
            _, ours = network.segment(network.fresh_carry(1, 600), long)
            _, theirs = exported.segment(exported.fresh_carry(1, 600), long)
        assert torch.allclose(ours.logits, theirs.logits, atol=TOLERANCE)
    # The comparison is worth something: a network that differs by one weight is found out.
    with torch.no_grad():
        network.head_norm.weight[0] += 0.01
    assert any(found > allowed for found, allowed in differences(network, exported))


def row(length: int, vocab_size: int) -> TextBatch:
    """One row of random tokens."""
    inputs = torch.randint(1, vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(0, length, 50)[None]
    return TextBatch(inputs=inputs, documents=torch.ones_like(inputs), positions=positions, labels=positions)


@pytest.mark.parametrize("high_level", ["vector", "pooled-windows"])
def test_groups_are_those_of_the_network(high_level: Any, tokenizer: TextTokenizer) -> None:
    """The graph finds them in another way: pieces of many lengths, some of one token, and padding behind them."""
    config = small_config(tokenizer, high_level=high_level)
    generator = torch.Generator().manual_seed(3)
    steps = torch.rand(50, config.max_length, generator=generator) < 0.15
    documents = 1 + steps.long().cumsum(1)
    place = torch.arange(config.max_length)
    documents = torch.where(place < torch.randint(1, 49, (50, 1), generator=generator), documents, 0)
    members, mean, (_, allowed) = onnx_graph._grouping(documents, config)
    expected = ThinkingBert(config)._grouping(documents)
    assert torch.equal(members, expected.members)
    assert torch.equal(mean, expected.mean)
    bias = expected.reach.bias
    assert bias is not None
    assert torch.equal(allowed, bias == 0)
    window = 0 if high_level == "vector" else config.pooling_window
    assert members.shape[1] == int(groups_of(documents, window).max()) + 1


def test_comparison_covers_padding_several_pieces_and_rows_with_fewer_places(
    tokenizer: TextTokenizer,
) -> None:
    batches = list(comparison_batches(small_config(tokenizer)))
    assert {len(batch.inputs) for batch in batches} >= {1, 2}
    assert max(batch.inputs.shape[1] for batch in batches) == 48
    assert any(bool((batch.documents == 0).any()) for batch in batches)
    assert any(int(batch.documents.max()) == 5 for batch in batches)
    assert any(bool((batch.positions == -1).any()) for batch in batches)
    # Also of the shortest model there is.
    assert list(comparison_batches(small_config(tokenizer, max_length=1)))


def test_a_file_that_is_not_finite_is_no_match(tokenizer: TextTokenizer) -> None:
    network = ThinkingBert(small_config(tokenizer), torch.Generator().manual_seed(0))
    broken = ThinkingBert(network.config, torch.Generator().manual_seed(0))
    assert max(found for found, _ in differences(network, broken)) == 0  # type: ignore[arg-type]  # any network with a segment will do
    with torch.no_grad():
        broken.decoder_bias[3] = torch.nan
    assert max(found for found, _ in differences(network, broken)) == float("inf")  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, random_run: Path, tmp_path: Path
) -> None:
    """Before any work is done: no file is left that could not be compared."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"without the package {package}.*pip install 'thinkling\[onnx\]'"):
        export_onnx(random_run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_needs_only_onnxruntime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match="no such file"):
        OnnxEncoder.from_file(tmp_path / "model.onnx")


def test_what_does_not_fit_into_one_file_is_refused(
    tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_writing, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1,000 in one ONNX file"):
        onnx_graph.write_onnx(ThinkingBert(small_config(tokenizer)), tmp_path / "model.onnx", {})


def test_a_disk_that_refuses_leaves_nothing(
    tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(path: str, **_: object) -> None:
        Path(path).write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    program = SimpleNamespace(model=SimpleNamespace(metadata_props={}), save=save)
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: program)
    monkeypatch.setattr(onnx_writing, "_tidy", lambda _: None)
    with pytest.raises(ThinklingError, match="No space left"):
        onnx_graph.write_onnx(ThinkingBert(small_config(tokenizer)), tmp_path / "model.onnx", {})
    assert list(tmp_path.iterdir()) == []
