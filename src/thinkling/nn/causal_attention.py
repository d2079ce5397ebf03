"""Causal attention with grouped queries and normed queries and keys, over packed rows or with a cache.

Shapes: B rows, S positions, T positions looked at, N query heads, K key and value heads, E head size, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn.casting import Linear
from thinkling.nn.kv_cache import CacheView
from thinkling.nn.norm import RMSNorm
from thinkling.nn.rope import rotate

_BATCHED_MATMUL_UP_TO = 512
"""On a CPU, up to this many positions, explicit batched products beat the fused kernel."""
_QUERIES_AT_A_TIME = 128
"""So many share one product: of 256 positions a quarter of the scores is never computed."""


class CausalAttention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245), no bias. [B, S, D] -> [B, S, D].

    Queries and keys are normed head by head before they are rotated, as in Qwen3 (arXiv 2505.09388).
    """

    def __init__(self, *, width: int, heads: int, kv_heads: int, head_dim: int, norm_eps: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim
        self.q_proj = Linear(width, heads * head_dim)
        self.k_proj = Linear(width, kv_heads * head_dim)
        self.v_proj = Linear(width, kv_heads * head_dim)
        self.o_proj = Linear(heads * head_dim, width)
        self.q_norm = RMSNorm(head_dim, norm_eps)
        self.k_norm = RMSNorm(head_dim, norm_eps)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor | None,
        cache: CacheView | None = None,
        layer: int = 0,
    ) -> Tensor:
        batch, positions, _ = x.shape
        heads = (batch, positions, -1, self.head_dim)
        query = rotate(self.q_norm(self.q_proj(x).view(heads)), *rotary).transpose(1, 2)
        key = rotate(self.k_norm(self.k_proj(x).view(heads)), *rotary).transpose(1, 2)
        value = self.v_proj(x).view(heads).transpose(1, 2)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        mixed = attend_causally(query, key, value, bias)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, positions, -1))
        return out


def attend_causally(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(E) + bias) v, each query head with the key and value head of its group.

    Args:
        query: [B, N, S, E].
        key: [B, K, T, E].
        value: [B, K, T, E].
        bias: [B or 1, 1, S, T] in the dtype of the query: 0 where a position may look, minus infinity elsewhere. None:
            every position sees itself and those before it, S = T.

    Returns:
        [B, N, S, E].
    """
    heads, positions = query.shape[1:3]
    kv_heads, seen = key.shape[1:3]
    if positions == 1 and bias is not None and query.device.type == "cpu":
        return _attend(query, key, value, bias)
    if query.device.type != "cpu" or seen > _BATCHED_MATMUL_UP_TO:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, is_causal=bias is None, enable_gqa=heads != kv_heads
        )
    if bias is None:
        bias = causal_bias(positions, query.dtype, query.device)
    if positions == seen:
        # Nobody looks ahead: the first positions need not be multiplied with the last ones.
        ends = [min(start + _QUERIES_AT_A_TIME, seen) for start in range(0, seen, _QUERIES_AT_A_TIME)]
        queries, biases = (torch.split(whole, _QUERIES_AT_A_TIME, 2) for whole in (query, bias))
        mixed = [
            _attend(part, key[:, :, :end], value[:, :, :end], own[..., :end])
            for part, own, end in zip(queries, biases, ends, strict=True)
        ]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)
    return _attend(query, key, value, bias)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The same by explicit products, over all of S and T."""
    batch, heads, positions, size = query.shape
    kv_heads, seen = key.shape[1:3]
    # The query heads of a group one below the other: one product for each key and value head, nothing repeated.
    grouped = query.reshape(batch * kv_heads, -1, size)
    nothing = query.new_zeros(1, 1, 1)
    flat_key, flat_value = (part.reshape(batch * kv_heads, seen, size) for part in (key, value))
    scores = torch.baddbmm(nothing, grouped, flat_key.transpose(1, 2), beta=0, alpha=size**-0.5)
    scores = scores.view(batch, heads, positions, seen) + bias
    weights = torch.softmax(scores, dim=-1)  # in fp32 inside, whatever the dtype
    mixed = torch.bmm(weights.view(batch * kv_heads, -1, seen), flat_value)
    return mixed.view(batch, heads, positions, size)


def causal_bias(positions: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Every position sees itself and those before it. [1, 1, S, S]."""
    return torch.full((1, 1, positions, positions), -torch.inf, dtype=dtype, device=device).triu_(1)
