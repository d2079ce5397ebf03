"""A decoder made ready for generation: the same function as `Decoder.read`, with fewer and faster operations.

Weights are cast and laid out once, a norm's weight multiplied into the product that follows it; queries, keys and
values come from one product, gate and up from another; queries and keys are normed and rotated together.

Shapes: r rows, S positions, D width, V vocabulary, N query heads, K key and value heads, E head size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.lm.model import Decoder, DecoderLayer
from thinkling.nn.attention import attention_bias
from thinkling.nn.causal_attention import attend_causally, attend_from_last, last_bias
from thinkling.nn.kv_cache import CacheView, KVCache
from thinkling.nn.norm import unit_length
from thinkling.nn.packed_product import Product, packed_product
from thinkling.nn.rope import rope_tables, rotate


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """The weights of a layer, ready for use."""

    queries_keys_values: Product
    """[..., D] -> [..., (N + 2 K) E]; the weight of the norm before it and sqrt(D) are in it."""
    head_norm: Tensor
    """[N + K, E]; sqrt(E) is in it."""
    out: Product
    """[..., N E] -> [..., D]."""
    gate_up: Product
    """[..., D] -> [..., 2 I], I the inner width; the weight of the norm before it and sqrt(D) are in it."""
    down: Product
    """[..., I] -> [..., D]."""


class DecoderReader:
    """Reads tokens with a decoder's weights as they are when this is made. No gradient flows."""

    def __init__(self, model: Decoder) -> None:
        """Copy, cast and lay out; the model stays as it is."""
        config, dtype = model.config, model.compute_dtype
        self.config, self.dtype, self.device = config, dtype, model.device
        with torch.inference_mode():
            self._layers = [_prepared(layer, dtype) for layer in model.model.layers]
            self._embedding = model.model.embed_tokens.weight.detach().to(dtype, copy=True)
            self._scores = _after_norm(model.model.norm.weight, model.model.embed_tokens.weight, dtype)
            self._width_eps, self._head_eps = (
                torch.tensor(math.sqrt(size * config.norm_eps), device=self.device)
                for size in (config.hidden_size, config.head_dim)
            )

    def cache(self, rows: int, capacity: int) -> KVCache:
        """Room for the keys and values of so many sequences of at most so many tokens.

        On a CPU they are kept in fp32: many small products in bf16 take longer there, though half is read.
        """
        with torch.inference_mode():
            return KVCache(
                layers=self.config.num_layers,
                rows=rows,
                kv_heads=self.config.num_kv_heads,
                head_dim=self.config.head_dim,
                capacity=capacity,
                dtype=torch.float32 if self.device.type == "cpu" else self.dtype,
                device=self.device,
            )

    @torch.inference_mode()
    def read(
        self, inputs: Tensor, cache: KVCache, rows: slice | None = None, counts: Tensor | None = None
    ) -> Tensor:
        """Read on: the cached sequences followed by new tokens, whose keys and values are kept.

        Args:
            inputs: [r, S] the next tokens of each sequence.
            cache: what has been read of each sequence; made by `cache`.
            rows: which sequences of the cache; None: all of them.
            counts: [r] how many of a row's tokens are real, the rest being padding at its end; None: all.

        Returns:
            [r, V] scores of the token that follows the last real one, in fp32.
        """
        config = self.config
        view = CacheView(cache, rows, inputs.shape[1])
        cos, sin = rope_tables(view.positions, config.head_dim, config.rope_base)
        rotary = cos.to(self.dtype), sin.to(self.dtype)
        alone = inputs.shape[1] == 1 and self.device.type == "cpu"
        bias = (
            last_bias(view.allowed(), config.num_kv_heads)
            if alone
            else attention_bias(view.allowed(), self.dtype)
        )
        if counts is None:
            counts = torch.full((len(inputs),), inputs.shape[1], device=self.device)
        x = F.embedding(inputs, self._embedding)
        for number, layer in enumerate(self._layers):
            mixed = self._attended(layer, number, unit_length(x, self._width_eps), rotary, bias, view)
            if number == len(self._layers) - 1:
                # Of the last layer only the last real token is asked for.
                last = torch.arange(len(x), device=self.device), counts - 1
                mixed, x = mixed[last], x[last]
            x = layer.out(mixed).add_(x)
            gate, up = layer.gate_up(unit_length(x, self._width_eps)).chunk(2, -1)
            x = layer.down(F.silu(gate).mul_(up)).add_(x)
        view.advance(counts)
        return self._scores(unit_length(x, self._width_eps)).float()

    def _attended(
        self,
        layer: _Layer,
        number: int,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor,
        view: CacheView,
    ) -> Tensor:
        """What each position gathers from those it sees. [r, S, D] -> [r, S, N E]."""
        config = self.config
        queries, both = config.num_heads, config.num_heads + config.num_kv_heads
        heads = layer.queries_keys_values(x).view(*x.shape[:2], -1, config.head_dim)
        turned = rotate(unit_length(heads[:, :, :both], self._head_eps) * layer.head_norm, *rotary)
        key, value = view.extend(
            number, turned[:, :, queries:].transpose(1, 2), heads[:, :, both:].transpose(1, 2)
        )
        if bias.ndim == 3:
            return attend_from_last(turned[:, 0, :queries], key, value, bias).flatten(1)[:, None]
        key, value = key.to(x.dtype), value.to(x.dtype)
        mixed = attend_causally(turned[:, :, :queries].transpose(1, 2), key, value, bias)
        return mixed.transpose(1, 2).reshape(*x.shape[:2], -1)


def _prepared(layer: nn.Module, dtype: torch.dtype) -> _Layer:
    assert isinstance(layer, DecoderLayer)
    attention, mlp = layer.self_attn, layer.mlp
    queries_keys_values = torch.cat(
        [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    )
    of_heads = [attention.q_norm.weight] * attention.heads + [attention.k_norm.weight] * attention.kv_heads
    second = layer.post_attention_layernorm.weight
    return _Layer(
        queries_keys_values=_after_norm(layer.input_layernorm.weight, queries_keys_values, dtype),
        head_norm=(torch.stack(tuple(of_heads)) * math.sqrt(attention.head_dim)).to(dtype),
        out=packed_product(attention.o_proj.weight.to(dtype)),
        gate_up=_after_norm(second, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]), dtype),
        down=packed_product(mlp.down_proj.weight.to(dtype)),
    )


def _after_norm(norm: Tensor, weight: Tensor, dtype: torch.dtype) -> Product:
    """A weight [O, D] that takes vectors of length 1, with the norm's weight [D] and sqrt(D) multiplied in."""
    return packed_product((weight * (norm * math.sqrt(len(norm)))).to(dtype))
