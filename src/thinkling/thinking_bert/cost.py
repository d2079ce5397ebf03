"""What a Thinking-BERT costs to train, counted from its shapes, nothing measured.

Only the matrix products that the algorithm needs are counted: each pass forward, twice that for the gradient, another
pass forward for the target of the continue value where it is learned.

Shapes: L positions of a row, P places to be predicted, G positions of the high-level module, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from thinkling.data.masking import most_positions
from thinkling.nn.casting import Linear
from thinkling.nn.flops import forward_flops
from thinkling.thinking.halting import HaltLearning
from thinkling.thinking_bert.model import ThinkingBert

_BYTES_FP32 = 4
_BYTES_BF16 = 2


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one round of one row costs."""

    params: int
    """Trained values, embeddings included."""
    forward_flops: int
    """Operations of one round of one row."""
    training_flops: int
    """Operations of one training round of one row, backward pass and target pass included."""
    training_bytes: int
    """Memory of a training step: weights, moments, average, gradients, saved activations (an estimate)."""


def cost(
    network: ThinkingBert, *, length: int, mask_rate: float, learning: HaltLearning, batch_size: int
) -> Cost:
    """The cost of a network; it may live on the meta device.

    Args:
        network: the model.
        length: tokens of a row.
        mask_rate: share of them that is predicted; the vocabulary is multiplied at those places only.
        learning: `q_learning` needs one more forward pass for the target.
        batch_size: rows, for the memory.
    """
    config = network.config
    low = forward_flops(network.low, length, config.hidden_size) * config.L_cycles
    high = 0
    if network.high is not None:
        groups = 1 if config.high_level == "vector" else -(-length // config.pooling_window)
        high = forward_flops(network.high, groups, config.hidden_size)
    places = most_positions(length, mask_rate)
    head = 2 * places * config.hidden_size * (config.hidden_size + config.vocab_size)
    forward = low + high + head
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(
        params=params,
        forward_flops=forward,
        training_flops=3 * forward + (forward if learning == "q_learning" else 0),
        training_bytes=5 * _BYTES_FP32 * params + batch_size * _saved_bytes(network, length, places),
    )


def _saved_bytes(network: ThinkingBert, length: int, places: int) -> int:
    """Activations that the backward pass needs, for one row: every product's input and output, and the scores."""
    config = network.config
    products = sum(sum(module.weight.shape) for module in network.low.modules() if isinstance(module, Linear))
    scores = 3 * config.low_layers * config.num_heads * length
    values = config.L_cycles * length * (products + scores) + 3 * places * config.vocab_size
    return values * _BYTES_BF16
