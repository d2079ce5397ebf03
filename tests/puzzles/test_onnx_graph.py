"""One segment as an ONNX graph computes what the network computes, for every kind of mixing and position."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from random_network import random_network

from thinkling.artifacts.onnx_file import open_session
from thinkling.errors import InputError
from thinkling.puzzles.onnx_export import TOLERANCE, differences, export_puzzles
from thinkling.puzzles.onnx_graph import write_onnx
from thinkling.puzzles.onnx_solver import INPUTS, OUTPUTS, OnnxSolver
from thinkling.puzzles.reasoner import Reasoner
from thinkling.thinking.halting import HaltingConfig

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    # Three of them see a plain cycle once; the second goes round more often.
    "attention": (
        "hrm",
        {
            "positions": "rope_2d",
            "rows": 2,
            "columns": 8,
            "num_heads": 2,
            "num_puzzle_ids": 5,
            "puzzle_emb_dim": 20,
        },
    ),
    "positions": ("trm", {"mixing": "mlp", "positions": "none", "H_cycles": 2, "L_cycles": 2}),
    "local": ("hrm", {"mixing": "local", "positions": "none", "rows": 4, "columns": 4, "puzzle_emb_dim": 8}),
    "learned": ("trm", {"positions": "learned", "seq_len": 3}),
}


def opened(network: Reasoner, path: Path) -> OnnxSolver:
    """The network as a file, opened."""
    kept = {
        "task": {"name": "sudoku", "size": 4},
        "halting": asdict(HaltingConfig()),
        "positions": network.config.total_len,
        "width": network.config.hidden_size,
        "params": 1,
        "identifiers": [],
    }
    write_onnx(network, path, {"thinkling": json.dumps(kept)})
    return OnnxSolver.from_file(path, threads=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_and_network_agree(name: str, tmp_path: Path) -> None:
    architecture, settings = NETWORKS[name]
    network = random_network(architecture, **settings)
    exported = opened(network, tmp_path / "model.onnx")
    found = list(differences(network, exported))
    assert len(found) == 2 * 3 * 5  # batches, segments, outputs
    assert max(difference for difference, _ in found) <= TOLERANCE
    # The comparison is worth something: a network that differs by one weight is found out.
    with torch.no_grad():
        network.lm_head.weight[1, 0] += 0.01
    assert any(difference > allowed for difference, allowed in differences(network, exported))


@pytest.fixture(scope="module")
def cycled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose cycles use each weight six times."""
    path = tmp_path_factory.mktemp("cycled") / "model.onnx"
    opened(random_network("trm", hidden_size=64, H_cycles=2, L_cycles=2), path)
    return path


def test_what_the_graph_says_of_itself(cycled: Path) -> None:
    """Names, types and the one free size; and nothing of the machine that it was made on."""
    session = open_session(cycled)
    told = {entry.name: (entry.type, entry.shape) for entry in session.get_inputs()}
    assert tuple(told) == INPUTS
    assert told["inputs"] == ("tensor(int64)", ["batch", 16])
    assert told["puzzle_ids"] == ("tensor(int64)", ["batch"])
    assert told["z_H"] == told["z_L"] == ("tensor(float)", ["batch", 16, 64])
    assert told["fresh"] == ("tensor(bool)", ["batch"])
    assert tuple(entry.name for entry in session.get_outputs()) == OUTPUTS
    model = onnx.load(cycled)
    onnx.checker.check_model(model)
    assert [entry.key for entry in model.metadata_props] == ["thinkling"]
    assert str(Path(__file__).parents[2]).encode() not in cycled.read_bytes()


def test_weights_are_stored_once_however_often_a_cycle_uses_them(cycled: Path) -> None:
    """The exporter lays a weight out anew at each use: a file came out with three times its weights."""
    network = random_network("trm", hidden_size=64)
    weights = sum(4 * parameter.numel() for parameter in network.parameters())
    stored = onnx.load(cycled).graph.initializer
    assert (
        weights <= sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in stored) <= 1.1 * weights + 4096
    )


def test_a_row_that_is_fresh_forgets_its_carry(cycled: Path) -> None:
    exported = OnnxSolver.from_file(cycled, threads=1)
    inputs, ids = np.ones((2, 16), dtype=np.int64), np.zeros(2, dtype=np.int64)
    state = np.random.default_rng(0).normal(size=(2, 16, 64)).astype(np.float32)
    said = exported.segment(inputs, ids, state, state, np.array([True, False]))
    alone = exported.segment(inputs[:1], ids[:1], 0 * state[:1], 0 * state[:1], np.array([True]))
    np.testing.assert_allclose(said.logits[0], alone.logits[0], atol=1e-5)
    assert np.abs(said.logits[1] - said.logits[0]).max() > 1e-2


def test_a_run_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        export_puzzles(tmp_path / "nowhere", tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"which is a folder.*model\.onnx"):
        export_puzzles(tmp_path / "nowhere", tmp_path)
    assert list(tmp_path.iterdir()) == []
