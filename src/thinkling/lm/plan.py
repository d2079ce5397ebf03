"""What a language model costs, counted from its sizes alone: no weight is made and nothing is measured.

Letters: L layers, D width, N query heads, K key and value heads, E head size, I inner width, V vocabulary, S positions
of a row, B rows. Only matrix products are counted as operations, two a multiply-add; memory is in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig

Precision: TypeAlias = Literal["fp32", "bf16"]
"""dtype of matrix products; master weights, gradients and moments are fp32 in both."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TOKEN_BUDGETS = (10_000_000_000, 50_000_000_000, 100_000_000_000)
"""Tokens of a pre-training run."""
_PIECE_VALUES = 1 << 26
"""Scores that exist at one time in the chunked loss on an accelerator (`nn.linear_cross_entropy`)."""
_BACKWARD = 2
"""A backward pass multiplies twice for each product of the forward pass."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Trained values by part of the model."""

    embedding: int
    """The table of tokens, V D, which is the output layer too."""
    attention: int
    """Queries, keys, values and output of all layers."""
    feed_forward: int
    """Gate, up and down of all layers."""
    norms: int
    """Two a layer, one of queries and one of keys, and the last one."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.attention + self.feed_forward + self.norms


def parameters(config: DecoderConfig) -> Parameters:
    """Trained values of a decoder of this configuration."""
    width, size = config.hidden_size, config.head_dim
    return Parameters(
        embedding=config.vocab_size * width,
        attention=config.num_layers * 2 * width * size * (config.num_heads + config.num_kv_heads),
        feed_forward=config.num_layers * 3 * width * config.inner_size,
        norms=config.num_layers * 2 * (width + size) + width,
    )


def forward_flops(config: DecoderConfig, length: int) -> float:
    """Operations a token of a forward pass, the mean over a row of `length` tokens that see those before them."""
    return _layer_flops(config, length) + _head_flops(config)


def training_flops(config: DecoderConfig, length: int, *, checkpointing: bool = False) -> float:
    """Operations a token of a training step.

    The backward pass is twice the forward pass; with `checkpointing` the layers are passed forward once more. The
    chunked loss computes its gradient while the scores are there, so the output layer is never recomputed.
    """
    again = 1 if checkpointing else 0
    return (1 + _BACKWARD + again) * _layer_flops(config, length) + (1 + _BACKWARD) * _head_flops(config)


def _layer_flops(config: DecoderConfig, length: int) -> float:
    count = parameters(config)
    # Scores and mixing, 2 operations each, with the (S + 1) / 2 positions that a token sees in the mean.
    looking = config.num_layers * 4 * config.num_heads * config.head_dim * (length + 1) / 2
    return 2 * (count.attention + count.feed_forward) + looking


def _head_flops(config: DecoderConfig) -> float:
    return 2 * config.vocab_size * config.hidden_size


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes of one training process."""

    weights: int
    """Master weights in fp32, and their cast in the compute dtype where that is another."""
    gradients: int
    """In fp32."""
    moments: int
    """Two of AdamW, in fp32."""
    activations: int
    """What the layers keep for the backward pass."""
    loss: int
    """Scores of one piece and the gradient of the last hidden states."""

    @property
    def states(self) -> int:
        """What does not depend on the rows, and may be divided over the chips (`chip_memory`)."""
        return self.weights + self.gradients + self.moments

    @property
    def total(self) -> int:
        """All of it."""
        return self.states + self.activations + self.loss


def training_memory(
    config: DecoderConfig, *, length: int, rows: int, precision: Precision, checkpointing: bool
) -> TrainingMemory:
    """Memory of a training step on `rows` rows of `length` tokens.

    Activations are an estimate for the fused attention kernel, which keeps no scores: a layer keeps 6 D + 5 N E +
    4 K E + 4 I values a token; with `checkpointing` D a layer, and all of one layer while it is recomputed.
    """
    total = parameters(config).total
    size = 2 if precision == "bf16" else 4
    tokens = rows * length
    layer = tokens * _saved_values(config) * size
    kept = config.num_layers * tokens * config.hidden_size * size + layer if checkpointing else 0
    return TrainingMemory(
        weights=total * (4 + (size if size < 4 else 0)),
        gradients=total * 4,
        moments=total * 8,
        activations=kept or config.num_layers * layer,
        loss=min(tokens * config.vocab_size, max(_PIECE_VALUES, 128 * config.vocab_size)) * 2 * 4
        + tokens * config.hidden_size * size,
    )


def chip_memory(
    config: DecoderConfig, *, length: int, rows: int, precision: Precision, checkpointing: bool, chips: int
) -> int:
    """Memory of one of several chips among which the weights in fp32, gradients and moments are divided.

    Whole on each of them while it learns are the table of tokens with its gradient, the weights of two layers (one
    computes, the next is fetched) and the gradient of one. A cast that a layer has used is kept for its backward pass,
    except where the layer is passed again. To validate, and at the very beginning, a chip holds all weights.
    """
    memory = training_memory(
        config, length=length, rows=rows, precision=precision, checkpointing=checkpointing
    )
    if chips == 1:
        return memory.total
    count = parameters(config)
    cast = memory.weights - 4 * count.total
    divided = -(-(memory.states - cast) // chips)
    layer = (count.attention + count.feed_forward) // config.num_layers
    gathered = 4 * (2 * count.embedding + 3 * layer)
    kept = 0 if checkpointing else cast
    return divided + max(gathered + kept + memory.activations + memory.loss, memory.weights)


def _saved_values(config: DecoderConfig) -> int:
    """Values a layer keeps for each token.

    Both norms keep their input, what they scale and what they give; queries and keys three times, before and after
    their norm and rotated; values once; what attention gives twice, by head and by position; gate, up, and their
    activation and product.
    """
    heads, kv_heads = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    return 6 * config.hidden_size + 5 * heads + 4 * kv_heads + 4 * config.inner_size


def kv_cache_bytes(config: DecoderConfig, length: int, *, value_bytes: int = 2) -> int:
    """Keys and values of one sequence of `length` tokens."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_dim * length * value_bytes


def cache_lengths(config: DecoderConfig) -> list[int]:
    """Lengths to plan the cache for: powers of two from 1,024 (or the longest context, where that is less) on."""
    lengths = [length for power in range(10, 24) if (length := 1 << power) < config.max_length]
    return [*lengths, config.max_length]


def checkpoint_bytes(config: DecoderConfig) -> dict[str, int]:
    """Sizes of what training leaves on disk, without the few kilobytes of headers."""
    total = parameters(config).total
    return {
        "model.safetensors in fp32": 4 * total,
        "model.safetensors in bf16": 2 * total,
        "resume state (weights and two moments in fp32)": 12 * total,
    }


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Pre-training on so many tokens."""

    tokens: int
    """How many."""
    tokens_per_parameter: float
    """Their number for each trained value; 20 is the optimum of Hoffmann et al. 2022 (arXiv 2203.15556)."""
    flops: float
    """Operations."""


def budget(config: DecoderConfig, tokens: int, *, length: int, checkpointing: bool) -> Budget:
    """What training on `tokens` tokens takes.

    Raises:
        InputError: no tokens.
    """
    if tokens < 1:
        raise InputError(f"--tokens {tokens}", "1 or more", "give the number of tokens, such as 10000000000")
    return Budget(
        tokens=tokens,
        tokens_per_parameter=tokens / parameters(config).total,
        flops=tokens * training_flops(config, length, checkpointing=checkpointing),
    )
