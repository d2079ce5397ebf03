"""Dividing a model over processes: which kinds of training refuse it, and that ordinary tensors pass untouched."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_objective import CONFIG, SmallObjective

from thinkling.errors import InputError
from thinkling.nn.sharding import is_divided, local_part, whole
from thinkling.training.sharding import all_whole, divided_like, gathered_in
from thinkling.training.trainer import train


def test_a_product_that_cannot_be_divided_refuses(tmp_path: Path) -> None:
    """Before anything is written, and also where there is one process only."""
    config = replace(CONFIG, sharding="full", optimizer="adamw")
    with pytest.raises(InputError, match=r"sharding full.*none for this kind.*leave --train\.sharding out"):
        train(SmallObjective(), config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_ordinary_tensors_pass_untouched() -> None:
    tensor, model = torch.ones(3), torch.nn.Linear(2, 2)
    assert not is_divided(tensor)
    assert local_part(tensor) is tensor
    assert whole(tensor) is tensor
    assert divided_like(tensor, tensor) is tensor
    assert all_whole({"a": tensor})["a"] is tensor
    weight = model.weight
    with gathered_in(model):
        assert model.weight is weight
