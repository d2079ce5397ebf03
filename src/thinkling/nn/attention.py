"""Bidirectional multi-head attention over short sequences.

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

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, positions, width = x.shape
        qkv = self.qkv_proj(x).view(batch, positions, 3, self.heads, width // self.heads)
        if rotary is None:
            query, key = qkv[:, :, 0], qkv[:, :, 1]
        else:
            cos, sin = rotary
            query, key = rotate(qkv[:, :, :2].flatten(2, 3), cos, sin).chunk(2, dim=2)
        mixed = attend(query.transpose(1, 2), key.transpose(1, 2), qkv[:, :, 2].transpose(1, 2))
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, positions, width))
        return out


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(E)) v, each [B, N, S, E] (Vaswani et al. 2017, equation 1)."""
    if query.device.type != "cpu" or query.shape[-2] > _BATCHED_MATMUL_UP_TO:
        return F.scaled_dot_product_attention(query, key, value)
    batch, heads, positions, size = query.shape
    flat_query, flat_key, flat_value = (
        part.reshape(batch * heads, positions, size) for part in (query, key, value)
    )
    nothing = query.new_zeros(1, 1, 1)
    scores = torch.baddbmm(nothing, flat_query, flat_key.transpose(1, 2), beta=0, alpha=size**-0.5)
    # In fp32: more exact, and the bf16 kernel takes half as long again.
    weights = torch.softmax(scores.float(), dim=-1).to(query.dtype)
    return torch.bmm(weights, flat_value).view(batch, heads, positions, size)
