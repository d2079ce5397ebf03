"""AdamATan2 against the official numbers, and its chunked and foreach paths against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from thinkling.errors import InputError
from thinkling.optim import adam_atan2
from thinkling.optim.adam_atan2 import AdamATan2

GOLDEN = Path(__file__).parents[1] / "golden" / "optim"
SETTINGS = json.loads((GOLDEN / "config.json").read_text())["adam_atan2"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s["name"])
@pytest.mark.parametrize("path", ["chunks", "small_chunks", "foreach"])
def test_golden(setting, path, monkeypatch):
    """Three steps of each official setting: parameters, moments and step counts, one gradient missing at step
    2.
    """
    golden = load_file(GOLDEN / "adam_atan2.safetensors")
    if path == "small_chunks":
        monkeypatch.setattr(adam_atan2, "_CHUNK", 4)
    if path == "foreach":
        monkeypatch.setattr(
            AdamATan2, "_update_in_chunks", lambda self, param, group: self._update_foreach([param], group)
        )
    params = {name: torch.nn.Parameter(golden[f"param0.{name}"].clone()) for name in "wbt"}
    optimizer = AdamATan2(
        params.values(), betas=tuple(setting["betas"]), weight_decay=setting["weight_decay"]
    )
    for step, lr in enumerate(setting["lrs"], 1):
        optimizer.param_groups[0]["lr"] = lr
        for name, param in params.items():
            param.grad = golden.get(f"grad{step}.{name}")
        optimizer.step()
        for name, param in params.items():
            state = optimizer.state[param]
            for key, value in (("param", param.data), *state.items()):
                expected = golden[f"{setting['name']}.step{step}.{name}.{key}"].reshape(value.shape)
                torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-30 if key != "param" else 1e-7)


def test_transposed_parameter():
    """A parameter that is not contiguous in memory is updated as a contiguous one is."""
    start, grad = torch.randn(5, 7), torch.randn(5, 7)
    straight = torch.nn.Parameter(start.clone())
    turned = torch.nn.Parameter(start.t().contiguous().t())
    for param in (straight, turned):
        param.grad = grad.clone()
        AdamATan2([param], lr=0.1, weight_decay=0.1).step()
    assert not turned.is_contiguous()
    assert torch.equal(straight, turned)


def test_update_is_noticed_by_autograd():
    """The in-place update raises the version counter, so a graph that saved the old weight cannot be used in
    silence.
    """
    param = torch.nn.Parameter(torch.ones(3))
    loss = (param * param).sum()
    param.grad = torch.ones(3)
    AdamATan2([param], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("bad", [{"lr": -1}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_bad_values(bad):
    """Values out of range are refused by name."""
    with pytest.raises(InputError, match=next(iter(bad))):
        AdamATan2([torch.nn.Parameter(torch.ones(1))], **bad)


def test_closure():
    """A closure is called with gradients on and its value returned."""
    param = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = AdamATan2([param], lr=0.1)

    def closure():
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 4
    assert param.item() < 2
