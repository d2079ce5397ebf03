"""A Thinking-BERT run becomes an ONNX file, which is read back and compared with the run.

Shapes: B batch, L positions of the row, P places to be predicted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.onnx_encoder import CONFIG_KEY, TOKENIZER_KEY, OnnxEncoder, OnnxNetwork
from thinkling.thinking_bert.onnx_graph import write_onnx

TOLERANCE = 1e-4
"""Largest difference of a logit, a Q value or a state that still counts as equal, for values up to 5; beyond, a
fifty-thousandth of the largest: fp32 keeps seven digits, and every round adds the rounding of its own."""
_LARGE = 5.0
ROUNDS = 3
"""Rounds that the comparison goes on for, each from the state that its own engine has reached."""
_LONGEST_COMPARED = 256
_KEPT = ("product", "architecture", "model", "task", "halting", "provenance")


@dataclass(frozen=True, kw_only=True)
class OnnxExport:
    """What came out: the contract's keys of `thinkling export`."""

    path: Path
    """The file."""
    bytes: int
    """Its size."""
    max_abs_diff: float
    """Largest difference between the file in onnxruntime and the run in PyTorch."""
    checked: bool
    """Whether that is within the tolerance."""
    tolerance: float = TOLERANCE
    """Largest difference that counts as equal, for the output with the largest values."""


def export_onnx(run: str | Path, path: Path) -> OnnxExport:
    """Write the model of a run as ONNX, load the file with onnxruntime and compare.

    Args:
        run: a run folder, a checkpoint inside one, or an `hf://` address.
        path: the file; an existing one is replaced.

    Raises:
        InputError: no such run, one of another kind, a missing package, or a folder in place of the file.
        ThinklingError: the disk refuses.
    """
    if path.is_dir():
        raise InputError(f"--out {path}, which is a folder", "a file", f"write {path / 'model.onnx'}")
    model = EncoderModel.from_folder(run, device="cpu", compute_dtype="float32")
    config = {key: model.config[key] for key in _KEPT if key in model.config} | {"params": model.params}
    tokenizer = json.dumps(json.loads(model.tokenizer.to_json()), ensure_ascii=False)
    write_onnx(model.network, path, {CONFIG_KEY: json.dumps(config), TOKENIZER_KEY: tokenizer})
    found = list(differences(model.network, OnnxEncoder.from_file(path).network))
    return OnnxExport(
        path=path,
        bytes=path.stat().st_size,
        max_abs_diff=max(difference for difference, _ in found),
        checked=all(difference <= allowed for difference, allowed in found),
        tolerance=max(allowed for _, allowed in found),
    )


@torch.inference_mode()
def differences(network: ThinkingBert, exported: OnnxNetwork) -> Iterator[tuple[float, float]]:
    """Largest difference of each output in each round, over rows of several shapes, with what is allowed.

    The difference is infinite where a value is not finite.
    """
    with weights_cast_once(network, network.compute_dtype):
        for batch in comparison_batches(network.config):
            carry = network.fresh_carry(*batch.inputs.shape)
            other = exported.fresh_carry(*batch.inputs.shape)
            for _ in range(ROUNDS):
                carry, ours = network.segment(carry, batch)
                other, theirs = exported.segment(other, batch)
                for mine, its in (
                    (carry.z_H, other.z_H),
                    (carry.z_L, other.z_L),
                    (ours.logits, theirs.logits),
                    (ours.q_halt, theirs.q_halt),
                    (ours.q_continue, theirs.q_continue),
                ):
                    allowed = TOLERANCE * max(1.0, float(mine.abs().max()) / _LARGE)
                    yield _difference(mine, its), allowed


def comparison_batches(config: ThinkingBertConfig) -> Iterator[TextBatch]:
    """Rows of random tokens: one and several in a batch, short and long, padded, and with several pieces of text."""
    generator = torch.Generator().manual_seed(0)
    longest = min(config.max_length, _LONGEST_COMPARED)
    for rows, length, places, pieces in (
        (1, min(3, longest), 1, 1),
        (1, longest, max(1, longest // 4), 1),
        (3, max(1, longest // 2), 2, 1),
        (2, longest, max(1, longest // 3), 5),
    ):
        place = torch.arange(length)
        real = torch.randint(1, length + 1, (rows, 1), generator=generator)
        real[0] = length  # the first row is full
        documents = torch.where(place < real, place * pieces // length + 1, 0)
        # From -1 on: a row may have fewer places than there is room for.
        positions = torch.randint(-1, length, (rows, places), generator=generator)
        inputs = torch.randint(1, config.vocab_size, (rows, length), generator=generator)
        yield TextBatch(inputs=inputs, documents=documents, positions=positions, labels=positions)


def _difference(mine: Tensor, its: Tensor) -> float:
    found = float((mine - its).abs().max())
    return found if found == found else float("inf")  # a NaN would compare as no larger than anything
