"""Small puzzle networks with random weights, and run folders of them: nothing is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.puzzle_model import build
from thinkling.puzzles.trm import TRM
from thinkling.thinking.halting import HaltingConfig

SMALL = {"hidden_size": 16, "num_heads": 2, "inner_multiple": 8, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}


def random_network(architecture: str, **settings: Any) -> HRM | TRM:
    """A network with random weights everywhere, also where training begins with zeros."""
    sizes = {"vocab_size": 6, "seq_len": 16, **SMALL, **settings}
    network = build(architecture, sizes | ({"H_layers": 1} if architecture == "hrm" else {}), seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        network.q_head.weight.normal_(generator=generator)
        network.q_head.bias.zero_()
        if network.puzzle_emb is not None:
            network.puzzle_emb.weights.normal_(generator=generator)
    return network.eval()


def write_random_run(folder: Path, *, size: int = 4, **halting: Any) -> Path:
    """A run folder of a Sudoku model of a size that knows nothing."""
    sizes = {"vocab_size": size + 2, "seq_len": size * size}
    network = random_network("hrm", **sizes, hidden_size=32, mixing="mlp", positions="none")
    description = {
        "product": "puzzles",
        "architecture": "hrm",
        "model": asdict(network.config),
        "task": {"name": "sudoku", "size": size},
        "halting": asdict(HaltingConfig(**{"learning": "halt_only", "max_steps": 6} | halting)),
    }
    write_model_folder(folder, description, network.state_dict())
    return folder
