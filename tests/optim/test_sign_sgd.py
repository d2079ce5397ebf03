"""Sign-SGD on sparse tables against the official numbers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from thinkling.nn.sparse_embedding import SparseEmbedding
from thinkling.optim.sign_sgd import SignSGD, update_rows

GOLDEN = Path(__file__).parents[1] / "golden" / "optim"


def test_golden():
    """Three official steps with repeated ids, zero rows and exactly cancelling rows."""
    golden = load_file(GOLDEN / "sparse_signsgd.safetensors")
    config = json.loads((GOLDEN / "config.json").read_text())["sparse_signsgd"]
    weights = golden["weights0"].clone()
    for step, lr in enumerate(config["lrs"]):
        update_rows(weights, golden["ids"][step], golden["grads"][step], lr, config["weight_decay"])
        torch.testing.assert_close(weights, golden[f"step{step + 1}.weights"], rtol=1e-6, atol=1e-7)


def test_module():
    """Lookups of a module are used once; rows that were not looked up, or whose gradients cancel, behave as
    said.
    """
    model = nn.Sequential(SparseEmbedding(5, 3))
    table = model[0]
    table.weights.fill_(1.0)
    optimizer = SignSGD.of(model, lr=0.1, weight_decay=0.5)
    rows = model(torch.tensor([1, 3, 1, 4]))
    (rows * torch.tensor([[1.0], [-2.0], [2.0], [0.0]])).sum().backward()
    assert len(optimizer.gradients()) == 1
    optimizer.step()
    torch.testing.assert_close(table.weights[:, 0], torch.tensor([1.0, 0.85, 1.0, 1.05, 0.95]))
    assert table.lookups == []


def test_clear_makes_no_update():
    """A poisoned step is dropped without a trace."""
    table = SparseEmbedding(2, 2)
    optimizer = SignSGD([table])
    (table(torch.tensor([0])) * float("nan")).sum().backward()
    optimizer.clear()
    optimizer.step()
    assert torch.equal(table.weights, torch.zeros(2, 2))
