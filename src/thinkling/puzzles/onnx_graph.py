"""One segment of a puzzle model as an ONNX graph; what starts anew and who halts is decided outside of it.

The graph is the network's own segment with its own weights: nothing is written a second time.

Shapes: B batch (free in the graph), L positions, S = P + L positions with the puzzle prefix, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from thinkling.artifacts.onnx_writing import write_graph
from thinkling.data.batch import PuzzleBatch
from thinkling.puzzles.onnx_solver import INPUTS, OUTPUTS
from thinkling.puzzles.reasoner import Reasoner
from thinkling.thinking.carry import Carry


class OneSegment(nn.Module):
    """The function that the graph holds: (inputs, puzzle_ids, z_H, z_L, fresh) -> `OUTPUTS`."""

    def __init__(self, network: Reasoner) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, puzzle_ids: Tensor, z_H: Tensor, z_L: Tensor, fresh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """One segment; a row that is fresh [B] starts from the initial state, whatever its carry holds."""
        carry = Carry(z_H=z_H, z_L=z_L, steps=torch.zeros_like(puzzle_ids), halted=fresh)
        batch = PuzzleBatch(inputs=inputs, puzzle_ids=puzzle_ids)
        after, output = self.network.segment(carry, batch)
        return after.z_H, after.z_L, output.logits, output.q_halt, output.q_continue


def write_onnx(network: Reasoner, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the graph of a network, whole or not at all.

    Args:
        network: on the CPU, computing in fp32.
        path: the file; an existing one is replaced.
        metadata: text by name, kept in the file.

    Raises:
        InputError: a package is missing, or the weights do not fit into one file.
        ThinklingError: the disk refuses.
    """
    config = network.config
    batch = next(size for size in (2, 3, 4, 5) if size not in (config.total_len, config.seq_len))
    state = torch.zeros(batch, config.total_len, config.hidden_size)
    example = (
        torch.zeros(batch, config.seq_len, dtype=torch.int64),
        torch.zeros(batch, dtype=torch.int64),
        state,
        state.clone(),
        torch.ones(batch, dtype=torch.bool),
    )
    write_graph(OneSegment(network), example, dict.fromkeys(INPUTS, ("batch",)), OUTPUTS, path, metadata)
