"""The loss of a segment equals the official loss head, with and without a continue target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from thinkling.nn.cross_entropy import LossName
from thinkling.thinking.carry import SegmentOutput
from thinkling.thinking.supervision import segment_loss

LOSSES = Path(__file__).parents[1] / "golden" / "losses"
CASES = [
    (architecture, name)
    for architecture in ("HRM", "TRM")
    for name, told in json.loads((LOSSES / f"head_expected_{architecture}.json").read_text()).items()
    if "loss" in told  # the official TRM raises with softmax
]


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_golden_heads(architecture: str, name: str) -> None:
    golden: dict[str, Any] = json.loads((LOSSES / f"head_expected_{architecture}.json").read_text())[name]
    gradients = load_file(LOSSES / f"head_expected_grads_{architecture}.safetensors")
    given = load_file(LOSSES / "head_inputs.safetensors")
    loss: LossName = "softmax" if "softmax" in name else "stablemax"
    leaves = {key: given[key].requires_grad_() for key in ("logits", "q_halt_logits", "q_continue_logits")}
    target = given["target_q_continue"] if ".with_target" in name else None
    ours = segment_loss(
        SegmentOutput(
            logits=leaves["logits"], q_halt=leaves["q_halt_logits"], q_continue=leaves["q_continue_logits"]
        ),
        given["labels"].long(),
        halted=given["halted"].bool(),
        steps=given["steps"],
        loss=loss,
        target_q_continue=target,
    )
    assert float(ours.total.detach()) == pytest.approx(golden["loss"], rel=1e-6)
    for metric, value in golden["metrics"].items():
        assert float(getattr(ours, metric).detach()) == pytest.approx(value, rel=1e-6), metric
    ours.total.backward()
    compared = 0
    for key, leaf in leaves.items():
        expected = gradients.get(f"head.{name}.grad.{key}", torch.zeros_like(leaf))
        compared += f"head.{name}.grad.{key}" in gradients
        found = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-7)
    assert compared == 3
