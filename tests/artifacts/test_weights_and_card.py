"""Weights on disk, the model card and the record of where a result comes from."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from thinkling.artifacts.model_card import model_card
from thinkling.artifacts.provenance import provenance
from thinkling.artifacts.run_folder import AVERAGED, find_model_folder
from thinkling.artifacts.weights import (
    load_into,
    load_weights,
    read_model_weights,
    save_weights,
    write_model_folder,
)
from thinkling.errors import InputError


def test_round_trip(tmp_path):
    """Types, scalars, tied, sliced and transposed tensors come back as they were."""
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "a": base,
        "tied": base,
        "slice": base[1:],
        "turned": base.t(),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 2),
    }
    save_weights(tmp_path / "w.safetensors", tensors)
    loaded = load_weights(tmp_path / "w.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_damaged_file(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": torch.ones(4)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"w\.safetensors is damaged"):
        load_weights(path)
    with pytest.raises(InputError, match="missing"):
        load_weights(tmp_path / "other")


def test_load_into_is_strict():
    """Every fault is listed; what is tolerated is named in the call."""
    model = nn.Linear(2, 3)
    good = {name: torch.full_like(tensor, 2.0) for name, tensor in model.state_dict().items()}
    load_into(model, good)
    assert model.bias.tolist() == [2, 2, 2]
    bad = {"weight": torch.zeros(3, 4), "extra": torch.zeros(1)}
    with pytest.raises(
        InputError, match=r"bias is missing, extra is not .*, weight has shape \[3, 4\] instead"
    ):
        load_into(model, bad)
    load_into(model, {"weight": torch.zeros(3, 2), "extra": torch.zeros(1)}, tolerated=("bias", "extra"))
    assert model.weight.sum() == 0
    assert model.bias.tolist() == [2, 2, 2]


def test_model_folder(tmp_path):
    """Averaged weights are preferred, and do not outlive a rewrite without them."""
    folder = tmp_path / "new" / "model"
    write_model_folder(folder, {"a": 1}, {"w": torch.zeros(1)}, {"w": torch.ones(1)})
    assert find_model_folder(folder) == folder
    assert read_model_weights(folder)["w"] == 1
    assert read_model_weights(folder, averaged=False)["w"] == 0
    write_model_folder(folder, {"a": 1}, {"w": torch.zeros(1)})
    assert not (folder / AVERAGED).exists()
    assert read_model_weights(find_model_folder(folder))["w"] == 0


def test_card_and_provenance():
    origin = provenance("abc")
    assert json.loads(json.dumps(origin)) == origin
    assert origin["torch"] == torch.__version__
    assert origin["hardware"]["cores"] >= 1
    config = {
        "product": "puzzles",
        "architecture": "hrm",
        "task": {"name": "sudoku", "size": 9},
        "model": {"hidden_size": 128},
        "training": {"steps": 5},
        "provenance": origin,
    }
    card = model_card(config, params=1234567, step=10, train_seconds=61, metrics={"exact_accuracy": 0.98765})
    for words in (
        "# hrm sudoku",
        "1,234,567",
        "exact_accuracy | 0.9877",
        "hidden_size 128",
        "data_sha256: abc",
    ):
        assert words in card
    assert "unknown" in model_card({}, params=0, step=0, train_seconds=0, metrics={})


def test_weights_are_as_readable_as_other_files(tmp_path):
    """safetensors writes files that only the owner may read: a run folder copied to a server could not be loaded."""
    save_weights(tmp_path / "weights.safetensors", {"a": torch.ones(2)})
    (tmp_path / "other").touch()
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
