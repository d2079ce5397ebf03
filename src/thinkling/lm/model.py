"""The decoder: pre-norm layers of grouped-query attention and a gated feed-forward, with Qwen3's names of tensors.

A folder with these weights opens in Transformers, vLLM and llama.cpp as it is (Qwen3, arXiv 2505.09388).

Shapes: B rows, S positions, D width, V vocabulary, E head size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from thinkling.lm.config import DecoderConfig
from thinkling.nn.attention import attention_bias
from thinkling.nn.casting import Embedding, Linear
from thinkling.nn.causal_attention import CausalAttention
from thinkling.nn.feed_forward import gated
from thinkling.nn.init import truncated_normal_
from thinkling.nn.kv_cache import CacheView, KVCache
from thinkling.nn.norm import RMSNorm
from thinkling.nn.rope import rope_tables

_INIT_STD = 0.02


class FeedForward(nn.Module):
    """`down(silu(gate(x)) * up(x))`. [B, S, D] -> [B, S, D]."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = Linear(width, inner)
        self.up_proj = Linear(width, inner)
        self.down_proj = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x)))
        return out


class DecoderLayer(nn.Module):
    """`x = x + attend(norm(x)); x = x + feed_forward(norm(x))`. [B, S, D] -> [B, S, D]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = CausalAttention(
            width=config.hidden_size,
            heads=config.num_heads,
            kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            norm_eps=config.norm_eps,
        )
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config.hidden_size, config.inner_size)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor | None,
        cache: CacheView | None = None,
        layer: int = 0,
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, bias, cache, layer)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class _Body(nn.Module):
    """Everything below the output layer, under the name that Qwen3's checkpoints give it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)


class Decoder(nn.Module):
    """A causal language model whose embedding table is also its output layer.

    Args:
        config: its sizes.
        generator: draws the initial weights; None: torch's own.

    Attributes:
        compute_dtype: dtype of matrix products; parameters stay fp32 unless they are converted.
        checkpointing: whether training recomputes each layer in the backward pass instead of keeping its activations.
    """

    def __init__(self, config: DecoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.checkpointing = False
        self.model = _Body(config)
        self._initialise(generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    @property
    def params(self) -> int:
        """Trained values, the embedding table counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, inputs: Tensor, documents: Tensor | None = None) -> Tensor:
        """What the last layer says at each position, normed; `logits` turns it into scores.

        Args:
            inputs: [B, S] token ids.
            documents: [B, S] number of the document that a position belongs to; a position sees only its own
                document's. None: each row is one document, as far as padding at its end is of no interest.

        Returns:
            [B, S, D] in the compute dtype.
        """
        rotary = self._rotary(torch.arange(inputs.shape[1], device=inputs.device))
        bias = None if documents is None else attention_bias(_may_see(documents), self.compute_dtype)
        x = self.model.embed_tokens(inputs, self.compute_dtype)
        for layer in self.model.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, rotary, bias, use_reentrant=False)
            else:
                x = layer(x, rotary, bias)
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every token. [..., D] -> [..., V]."""
        return F.linear(hidden, self.model.embed_tokens.cast_weight(hidden.dtype))

    def cache(self, rows: int, capacity: int) -> KVCache:
        """Room for the keys and values of so many sequences of at most so many tokens."""
        return KVCache(
            layers=self.config.num_layers,
            rows=rows,
            kv_heads=self.config.num_kv_heads,
            head_dim=self.config.head_dim,
            capacity=capacity,
            dtype=self.compute_dtype,
            device=self.device,
        )

    def read(
        self,
        inputs: Tensor,
        cache: KVCache,
        rows: Tensor | slice | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Read on: the cached sequences followed by new tokens, whose keys and values are kept.

        Args:
            inputs: [r, S] the next tokens of each sequence.
            cache: what has been read of each sequence.
            rows: [r] which sequences of the cache, or a slice of them; None: all of them.
            counts: [r] how many of a row's tokens are real, the rest being padding at its end; None: all.

        Returns:
            [r, V] scores of the token that follows the last real one, in fp32.
        """
        view = CacheView(cache, rows, inputs.shape[1])
        rotary = self._rotary(view.positions)
        bias = attention_bias(view.allowed(), self.compute_dtype)
        x = self.model.embed_tokens(inputs, self.compute_dtype)
        for number, layer in enumerate(self.model.layers):
            x = layer(x, rotary, bias, view, number)
        if counts is None:
            counts = torch.full((len(inputs),), inputs.shape[1], device=inputs.device)
        view.advance(counts)
        last = x[torch.arange(len(x), device=x.device), counts - 1]
        return self.logits(self.model.norm(last)).float()

    def _rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = rope_tables(positions, self.config.head_dim, self.config.rope_base)
        return cos.to(self.compute_dtype), sin.to(self.compute_dtype)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        """Normal with deviation 0.02; what adds to the residual stream less, by its number of terms (GPT-2)."""
        residual = _INIT_STD / math.sqrt(2 * self.config.num_layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and not parameter.is_meta:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                truncated_normal_(parameter, residual if adds else _INIT_STD, generator)


def _may_see(documents: Tensor) -> Tensor:
    """Whether a position [.., S, 1] may look at another one [.., 1, S]: not later, and of the same document."""
    same = documents[:, :, None] == documents[:, None, :]
    return same & torch.ones(same.shape[-2:], dtype=torch.bool, device=same.device).tril()
