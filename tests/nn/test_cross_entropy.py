"""Token losses equal the official ones, element by element, gradients included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from thinkling.nn.cross_entropy import LossName, log_stablemax, token_cross_entropy

LOSSES = Path(__file__).parents[1] / "golden" / "losses"


@pytest.mark.parametrize(("loss", "tolerance"), [("stablemax", 1e-9), ("softmax", 1e-6)])
def test_golden_token_losses(loss: LossName, tolerance: float) -> None:
    given, golden = (
        load_file(LOSSES / "token_inputs.safetensors"),
        load_file(LOSSES / "token_expected.safetensors"),
    )
    logits = given["logits"].requires_grad_()
    ours = token_cross_entropy(logits, given["labels"], loss=loss)
    ours.sum().backward()
    assert logits.grad is not None
    [values] = [tensor for name, tensor in golden.items() if name.startswith(loss) and "grad" not in name]
    [gradient] = [tensor for name, tensor in golden.items() if name.startswith(loss) and "grad" in name]
    torch.testing.assert_close(ours.detach().double(), values.double(), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(logits.grad.double(), gradient.double(), rtol=1e-6, atol=1e-6)


def test_golden_log_stablemax() -> None:
    given, golden = (
        load_file(LOSSES / "token_inputs.safetensors"),
        load_file(LOSSES / "token_expected.safetensors"),
    )
    ours = log_stablemax(given["logits"].double())
    torch.testing.assert_close(ours, golden["log_stablemax_float64"], rtol=1e-12, atol=1e-12)


def test_gradient_at_one_is_finite() -> None:
    """A plain `where` divides by 1 - x in its unused branch and gives NaN gradients at exactly x = 1."""
    logits = torch.ones(1, 3, requires_grad=True)
    token_cross_entropy(logits, torch.tensor([0]), loss="stablemax").sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_loss_and_gradient_equal_torch_s_own(dtype):
    """Worked through in pieces, of which the last is short; the logits themselves stay as they are."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 30, 5000, generator=generator).to(dtype).requires_grad_(True)
    before = logits.detach().clone()
    labels = torch.randint(0, 5000, (7, 30), generator=generator)
    labels[0, :5] = -100
    upstream = torch.rand(7, 30, generator=generator)
    ours = token_cross_entropy(logits, labels, loss="softmax")
    (gradient,) = torch.autograd.grad((ours * upstream).sum(), logits)
    assert torch.equal(logits.detach(), before)
    theirs = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), reduction="none", ignore_index=-100
    ).view(7, 30)
    (expected,) = torch.autograd.grad((theirs * upstream).sum(), logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(gradient, expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)
