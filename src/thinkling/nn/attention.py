"""Bidirectional multi-head attention over short sequences, over all positions or over those that a mask allows.

Shapes: B batch, S positions, N heads, E head size, D = N * E width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn.casting import Linear
from thinkling.nn.rope import rotate

_BATCHED_MATMUL_UP_TO = 512
"""On a CPU, up to this many positions, explicit batched products beat the fused kernel (three times at S = 97)."""


class Attention(nn.Module):
    """Multi-head self-attention, not causal, no bias. [B, S, D] -> [B, S, D].

    The rows of `qkv_proj` are all query heads, then all key heads, then all value heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = Linear(width, 3 * width)
        self.o_proj = Linear(width, width)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None, bias: Tensor | None = None) -> Tensor:
        batch, positions, width = x.shape
        qkv = self.qkv_proj(x).view(batch, positions, 3, self.heads, width // self.heads)
        if rotary is None:
            query, key = qkv[:, :, 0], qkv[:, :, 1]
        else:
            cos, sin = rotary
            query, key = rotate(qkv[:, :, :2].flatten(2, 3), cos, sin).chunk(2, dim=2)
        mixed = attend(query.transpose(1, 2), key.transpose(1, 2), qkv[:, :, 2].transpose(1, 2), bias)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, positions, width))
        return out


def attention_bias(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """To be added to scores: 0 where a position may look, minus infinity elsewhere. [B, S, S] bool -> [B, 1, S, S]."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, -torch.inf).unsqueeze(1)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v, each [B, N, S, E] (Vaswani et al. 2017, equation 1).

    `bias` [B, 1, S, S], in the dtype of the query, must leave every position something to look at.
    """
    if query.device.type != "cpu" or query.shape[-2] > _BATCHED_MATMUL_UP_TO:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    batch, heads, positions, size = query.shape
    flat_query, flat_key, flat_value = (
        part.reshape(batch * heads, positions, size) for part in (query, key, value)
    )
    nothing = query.new_zeros(1, 1, 1)
    scores = torch.baddbmm(nothing, flat_query, flat_key.transpose(1, 2), beta=0, alpha=size**-0.5)
    if bias is not None:
        scores.view(batch, heads, positions, positions).add_(bias)
    # In fp32: more exact, and the bf16 kernel takes half as long again.
    weights = torch.softmax(scores.float(), dim=-1).to(query.dtype)
    return torch.bmm(weights, flat_value).view(batch, heads, positions, size)
