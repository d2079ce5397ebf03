"""The chunked loss: equal to the dense one, in little memory, and honest about what it ignores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from thinkling.nn import linear_cross_entropy as module
from thinkling.nn.linear_cross_entropy import linear_cross_entropy


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pieces, the last one not full."""
    monkeypatch.setattr(module, "_LEAST_ROWS", 7)
    monkeypatch.setattr(module, "_VALUES_ON_CPU", 7 * 50)


def example(rows: int = 40, width: int = 12, vocab: int = 50, scale: float = 1.0):
    generator = torch.Generator().manual_seed(3)
    hidden = (scale * torch.randn(rows, width, generator=generator)).requires_grad_()
    weight = torch.randn(vocab, width, generator=generator).requires_grad_()
    labels = torch.randint(vocab, (rows,), generator=generator)
    labels[::3] = -100
    return hidden, weight, labels


def dense(hidden, weight, labels, z_loss):
    logits = (hidden @ weight.T).float()
    asked = labels != -100
    loss = F.cross_entropy(logits[asked], labels[asked], reduction="sum")
    return loss + z_loss * logits[asked].logsumexp(-1).square().sum()


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_equal_to_the_dense_loss(z_loss, scale):
    hidden, weight, labels = example(scale=scale)
    total, losses, right = linear_cross_entropy(hidden, weight, labels, z_loss=z_loss)
    (3 * total).backward()
    ours = [hidden.grad, weight.grad]
    hidden.grad = weight.grad = None
    expected = dense(hidden, weight, labels, z_loss)
    (3 * expected).backward()
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    for got, wanted in zip(ours, [hidden.grad, weight.grad], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    logits = hidden @ weight.T
    each = F.cross_entropy(logits, labels, reduction="none", ignore_index=-100)
    torch.testing.assert_close(losses, each, rtol=1e-5, atol=1e-4)
    assert torch.equal(right, (logits.argmax(-1) == labels) & (labels != -100))
    assert not losses.requires_grad


def test_ignored_rows_take_no_part():
    """Not even where they are not finite: padding may hold anything."""
    hidden, weight, labels = example()
    with torch.no_grad():
        hidden[labels == -100] = torch.nan
    total, losses, right = linear_cross_entropy(hidden, weight, labels)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(weight.grad).all()
    assert (hidden.grad[labels == -100] == 0).all()
    assert (losses[labels == -100] == 0).all()
    assert not right[labels == -100].any()


def test_nothing_asked():
    hidden, weight, labels = example()
    total, _, _ = linear_cross_entropy(hidden, weight, torch.full_like(labels, -100))
    total.backward()
    assert total == 0
    assert (hidden.grad == 0).all()
    assert (weight.grad == 0).all()


def test_without_gradient_none_is_computed():
    hidden, weight, labels = example()
    with torch.no_grad():
        total, losses, _ = linear_cross_entropy(hidden, weight, labels)
    assert not total.requires_grad
    torch.testing.assert_close(total, losses.sum())


def test_bfloat16_sums_the_weight_gradient_in_fp32():
    """fp32 master weight, bf16 products: as near to the fp32 gradient as the products are, over many pieces."""
    hidden, weight, labels = example(rows=3000)
    half = hidden.detach().bfloat16().requires_grad_()
    linear_cross_entropy(half, weight, labels)[0].backward()
    ours, weight.grad = weight.grad, None
    dense(hidden, weight, labels, 0.0).backward()
    assert ours.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert float((ours - weight.grad).norm() / weight.grad.norm()) < 0.01


def test_ties_go_to_the_first_token():
    """As argmax does: in bf16 equal scores are common."""
    hidden, weight = torch.ones(2, 1), torch.tensor([[0.5], [1.0], [1.0]])
    _, _, right = linear_cross_entropy(hidden, weight, torch.tensor([1, 2]))
    assert right.tolist() == [True, False]


_PEAK = r"""
import re, sys, torch
from thinkling.nn.linear_cross_entropy import linear_cross_entropy
torch.set_num_threads(1)
def peak():  # of this process alone; getrusage would begin with that of its parent
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
rows, width, vocab = 4096, 64, 8192
hidden = torch.randn(rows, width, requires_grad=True)
weight = torch.randn(vocab, width, requires_grad=True)
labels = torch.randint(vocab, (rows,))
linear_cross_entropy(hidden[:8], weight, labels[:8])[0].backward()  # what torch itself needs
weight.grad = hidden.grad = None
before = peak()
if sys.argv[1] == "chunked":
    linear_cross_entropy(hidden, weight, labels)[0].backward()
else:
    torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="sum").backward()
print((peak() - before) * 1024)
"""


def test_memory_does_not_grow_with_rows_times_vocabulary():
    """The dense loss needs the scores (128 MiB) more than once; this one the two gradients and a piece."""
    grown = {}
    for kind in ("chunked", "dense"):
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, kind],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            # What is freed goes back at once: what glibc would keep for later differs from run to run, up to 50 MB.
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        )
        grown[kind] = int(done.stdout)
    scores = 4096 * 8192 * 4
    assert grown["dense"] > 1.9 * scores
    assert grown["chunked"] < 0.25 * scores
