"""What a model costs: floating-point operations and memory, counted from its shapes, nothing measured.

Only matrix products are counted, two operations a multiply-add, and only those that the algorithm needs: one forward
pass for every use of a module, two more for every use that receives gradient, none for recomputation.

Shapes: S positions with the puzzle prefix, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from thinkling.nn.casting import Linear
from thinkling.nn.flops import forward_flops
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.puzzle_model import count_params
from thinkling.puzzles.trm import TRM
from thinkling.thinking.cycles import Cycles
from thinkling.thinking.halting import HaltLearning

_BYTES_FP32 = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one model costs."""

    params: int
    """Trained values, puzzle embeddings included."""
    forward_flops: int
    """Operations of one segment of one example."""
    training_flops: int
    """Operations of one training segment of one example, backward pass, target pass and choice of a carry included."""
    training_bytes: int
    """Memory of a training step: weights, moments, average, gradients, saved activations (an estimate)."""


def cost(
    network: HRM | TRM,
    learning: HaltLearning,
    batch_size: int,
    dtype: torch.dtype = torch.bfloat16,
    *,
    carries: int = 1,
    cycles: Cycles | None = None,
) -> Cost:
    """The cost of a network; it may live on the meta device.

    Args:
        network: the model.
        learning: `q_learning` needs one more forward pass for the target.
        batch_size: slots, for the memory.
        dtype: of the activations.
        carries: of each example in training; several cost one more forward pass each, without gradient.
        cycles: of a segment; the model's by default.
    """
    config = network.config
    cycles = cycles or config.cycles
    low, high = (forward_flops(level, config.total_len, config.hidden_size) for level in network.levels())
    heads = 2 * (network.lm_head.weight.numel() * config.seq_len + network.q_head.weight.numel())
    forward = cycles.H * (cycles.L * low + high) + heads
    low_with_gradient = 1 if network.gradient == "last_step" else cycles.L
    backward = 2 * (low_with_gradient * low + high + heads)
    target = forward if learning == "q_learning" else 0
    choosing = carries * forward if carries > 1 else 0
    params = count_params(network)
    return Cost(
        params=params,
        forward_flops=forward,
        training_flops=choosing + forward + backward + target,
        training_bytes=5 * _BYTES_FP32 * params + batch_size * _saved_bytes(network, dtype),
    )


def _saved_bytes(network: HRM | TRM, dtype: torch.dtype) -> int:
    """Activations that the backward pass needs, for one example: every matrix product's input and output once."""
    config = network.config
    low, high = network.levels()
    uses = {id(low): 0, id(high): 0}
    uses[id(low)] += 1 if network.gradient == "last_step" else config.L_cycles
    uses[id(high)] += 1
    values = 0
    for level in {id(low): low, id(high): high}.values():
        for module in level.modules():
            if isinstance(module, Linear):
                length = (
                    config.hidden_size if module.weight.shape[1] == config.total_len else config.total_len
                )
                values += uses[id(level)] * length * sum(module.weight.shape)
    return values * dtype.itemsize
