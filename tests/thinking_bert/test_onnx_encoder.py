"""An exported encoder answers, halts and encodes as the run that it was exported from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_encoder import sentences, write_random_run

from thinkling.data.batch import TextBatch
from thinkling.errors import InputError
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.onnx_encoder import OnnxEncoder
from thinkling.thinking_bert.onnx_export import export_onnx


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run` and `model.onnx`."""
    folder = tmp_path_factory.mktemp("onnx")
    write_random_run(folder / "run", low_layers=1, L_cycles=2)
    assert export_onnx(folder / "run", folder / "model.onnx").checked
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> EncoderModel:
    return EncoderModel.from_folder(folder / "run", device="cpu", compute_dtype="float32")


@pytest.fixture(scope="module")
def exported(folder: Path) -> OnnxEncoder:
    return OnnxEncoder.from_file(folder / "model.onnx")


def masked(count: int) -> list[str]:
    """Lines of several lengths with one or two masks."""
    lines = []
    for number, line in enumerate(sentences(count, seed=5)):
        words = line.split()
        words[number % len(words)] = "<mask>"
        lines.append(" ".join([*words, "<mask>"] if number % 3 == 0 else words))
    return lines


def test_masks_are_filled_as_by_the_run(model: EncoderModel, exported: OnnxEncoder) -> None:
    """Texts that halt at different rounds leave the batch at different times, here as there."""
    texts = masked(60)
    ours, theirs = list(model.fill_many(texts)), list(exported.fill_many(texts))
    steps = [answer.steps for answer in ours]
    assert len(set(steps)) > 1, "all texts halt at the same round, which shows nothing"
    assert [answer.steps for answer in theirs] == steps
    for mine, its in zip(ours, theirs, strict=True):
        assert its.text == mine.text
        assert its.q_halt == pytest.approx(mine.q_halt, abs=1e-4)
        for mask, other in zip(mine.masks, its.masks, strict=True):
            assert [candidate.token for candidate in other.candidates] == [
                candidate.token for candidate in mask.candidates
            ]
            assert [candidate.probability for candidate in other.candidates] == pytest.approx(
                [candidate.probability for candidate in mask.candidates], abs=1e-4
            )


def test_all_rounds_of_one_text(model: EncoderModel, exported: OnnxEncoder) -> None:
    text = "the big <mask> is in Paris"
    ours, theirs = (encoder.fill(text, halt="never", steps=6) for encoder in (model, exported))
    assert (ours.steps, theirs.steps) == (6, 6)
    for mine, its in zip(ours.trace, theirs.trace, strict=True):
        assert its.guesses[0].token == mine.guesses[0].token
        assert its.q_halt == pytest.approx(mine.q_halt, abs=1e-4)


def test_texts_become_the_same_vectors(model: EncoderModel, exported: OnnxEncoder) -> None:
    texts = sentences(10, seed=6)
    np.testing.assert_allclose(exported.encode(texts), model.encode(texts), atol=1e-4)
    for its, mine in zip(exported.encode_tokens(texts), model.encode_tokens(texts), strict=True):
        np.testing.assert_allclose(its, mine, atol=1e-4)


def test_a_halted_slot_starts_anew_and_its_carry_is_left_alone(exported: OnnxEncoder) -> None:
    network = exported.network
    inputs, positions = torch.full((2, 6), 7), torch.full((2, 1), 3)
    batch = TextBatch(inputs=inputs, documents=torch.ones_like(inputs), positions=positions, labels=positions)
    carry, first = network.segment(network.fresh_carry(2, 6), batch)
    before = carry.z_L.clone()
    going_on = carry.with_halted(torch.tensor([True, False]))
    after, second = network.segment(going_on, batch)
    assert torch.equal(carry.z_L, before)
    assert after.steps.tolist() == [1, 2]
    assert torch.allclose(second.logits[0], first.logits[0], atol=1e-5)
    assert not torch.allclose(second.logits[1], first.logits[1], atol=1e-2)


def test_the_file_is_enough(folder: Path, model: EncoderModel, exported: OnnxEncoder, tmp_path: Path) -> None:
    """Settings, halting and tokenizer are in it."""
    copy = tmp_path / "elsewhere.onnx"
    copy.write_bytes((folder / "model.onnx").read_bytes())
    alone = OnnxEncoder.from_file(copy)
    assert alone.network.config == model.network.config
    assert alone.halting == model.halting
    assert alone.tokenizer.to_json() == model.tokenizer.to_json()
    assert alone.params == model.params
    with pytest.raises(InputError, match="copy the ONNX file"):
        alone.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_errors_of_the_run_are_errors_of_the_file(exported: OnnxEncoder) -> None:
    with pytest.raises(InputError, match="without <mask>"):
        exported.fill("no masks here")
    with pytest.raises(InputError, match="at most 46 tokens"):
        exported.fill("<mask> " + "cat " * 60)
    network = exported.network
    inputs = torch.ones(1, 49, dtype=torch.int64)
    too_long = TextBatch(inputs=inputs, documents=inputs, positions=inputs, labels=inputs)
    with pytest.raises(InputError, match="a row of 49 tokens; allowed: at most 48"):
        network.segment(network.fresh_carry(1, 49), too_long)


def test_files_of_another_origin(folder: Path, tmp_path: Path) -> None:
    import onnx

    with pytest.raises(InputError, match="no such file"):
        OnnxEncoder.from_file(tmp_path / "nowhere.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((folder / "model.onnx").read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        OnnxEncoder.from_file(cut)
    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "bare.onnx")
    with pytest.raises(InputError, match="without the settings of a Thinking-BERT"):
        OnnxEncoder.from_file(tmp_path / "bare.onnx")
