"""Averages, learning rates and parameter groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from thinkling.nn.casting import Embedding, Linear
from thinkling.optim.ema import EMA
from thinkling.optim.param_groups import hidden_matrices, param_groups
from thinkling.optim.schedule import learning_rate, learning_rate_by_time

GOLDEN = Path(__file__).parents[1] / "golden" / "optim"


def _linear(golden, key):
    model = nn.Linear(4, 3)
    model.load_state_dict({name: golden[f"{key}.{name}"] for name in ("weight", "bias")})
    return model


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_ema_golden(decay):
    """Three official updates of both decays."""
    golden = load_file(GOLDEN / "ema.safetensors")
    ema = EMA(_linear(golden, f"mu{decay}.param0"), decay)
    for step in (1, 2, 3):
        ema.update(_linear(golden, f"mu{decay}.param{step}"))
        for name, average in ema.averages.items():
            torch.testing.assert_close(average, golden[f"mu{decay}.ema{step}.{name}"], rtol=1e-6, atol=1e-7)


def test_ema_swap():
    """Inside the block the averages rule; afterwards the weights are bit for bit their own, also after an
    error.
    """
    model = nn.BatchNorm1d(2)
    ema = EMA(model, 0.5)
    assert ema.averages.keys() == {"weight", "bias"}
    with torch.no_grad():
        model.weight.add_(1)

    def fail():
        with ema.swapped_in(model):
            assert model.weight.tolist() == [1, 1]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.weight.tolist() == [2, 2]
    ema.load({"weight": torch.tensor([7.0, 7]), "bias": torch.zeros(2), "running_mean": torch.ones(2)})
    with ema.swapped_in(model):
        assert model.weight.tolist() == [7, 7]


@pytest.mark.parametrize("row", json.loads((GOLDEN / "lr_schedule.json").read_text()))
def test_schedule_golden(row):
    """The official rates at every listed step."""
    for step, expected in zip(row["steps"], row["lr"], strict=True):
        rate = learning_rate(step, row["base_lr"], row["warmup"], row["total"], row["min_ratio"])
        assert rate == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_schedule_by_time():
    """Warm-up by steps, decay by the clock, and no further than the end."""
    assert learning_rate_by_time(5, 1.0, 10, 0.0, 0.1) == 0.5
    assert learning_rate_by_time(10, 1.0, 10, 0.5, 0.1) == pytest.approx(0.55)
    assert learning_rate_by_time(99, 1.0, 10, 1.7, 0.1) == pytest.approx(0.1)


def test_groups():
    """Every trained parameter once; vectors without decay only if asked; frozen and tied ones work."""
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2, bias=False))
    model[2].weight = model[0].weight
    (group,) = param_groups(model, 0.1)
    assert (len(group["params"]), group["weight_decay"]) == (4, 0.1)
    matrices, vectors = param_groups(model, 0.1, decay_biases=False)
    assert (len(matrices["params"]), len(vectors["params"]), vectors["weight_decay"]) == (1, 3, 0.0)
    model[1].requires_grad_(False)
    assert len(param_groups(model, 0.1)[0]["params"]) == 2


def test_hidden_matrices_are_no_embeddings_heads_or_norms():
    """Muon is for layers from features to features; the rest stays with AdamW, and nothing is lost or doubled."""
    model = nn.ModuleDict(
        {
            "embedding": Embedding(50, 32),
            "layer": Linear(32, 64, bias=True),
            "norm": nn.LayerNorm(64),
            "q_head": Linear(64, 2),
            "lm_head": Linear(64, 50),
        }
    )
    matrices = hidden_matrices(model)
    assert [id(matrix) for matrix in matrices] == [id(model["layer"].weight)]
    rest = param_groups(model, 0.1, decay_biases=False, without=matrices)
    placed = [id(param) for group in rest for param in group["params"]] + [id(matrices[0])]
    assert sorted(placed) == sorted(id(param) for param in model.parameters())
