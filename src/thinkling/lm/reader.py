"""A decoder made ready for generation: the same function as `Decoder.read`, with fewer and faster operations.

Weights are cast and laid out once; queries, keys and values come from one product, gate and up from another; queries
and keys are normed and rotated together. Where kernels were compiled (`nn/cpu_kernels.py`), they do the rest of it.

Shapes: r rows, S positions, D width, V vocabulary, N query heads, K key and value heads, E head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.lm.model import Decoder, DecoderLayer
from thinkling.nn.attention import attention_bias
from thinkling.nn.causal_attention import attend_causally
from thinkling.nn.cpu_kernels import CpuKernels, cpu_kernels
from thinkling.nn.kv_cache import CacheView, KVCache
from thinkling.nn.norm import rms_norm
from thinkling.nn.packed_product import Product, packed_product
from thinkling.nn.rope import rope_tables, rotate


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """The weights of a layer, ready for use."""

    first_norm: Tensor
    """[D]"""
    queries_keys_values: Product
    """[..., D] -> [..., (N + 2 K) E]."""
    head_norm: Tensor
    """[N + K, E]"""
    out: Product
    """[..., N E] -> [..., D]."""
    second_norm: Tensor
    """[D]"""
    gate_up: Product
    """[..., D] -> [..., 2 I], I the inner width."""
    down: Product
    """[..., I] -> [..., D]."""


class DecoderReader:
    """Reads tokens with a decoder's weights as they are when this is made. No gradient flows."""

    def __init__(self, model: Decoder, *, compile: bool = False) -> None:
        """Copy, cast and lay out; the model stays as it is.

        Args:
            model: the network.
            compile: use kernels compiled on this machine, which is faster, and as far from the model as rounding.

        Raises:
            InputError: kernels are wanted where there are none: not on a CPU, or without a compiler.
        """
        config, dtype = model.config, model.compute_dtype
        self.config, self.dtype, self.device = config, dtype, model.device
        self._kernels: CpuKernels | None = cpu_kernels(self.device, dtype) if compile else None
        with torch.inference_mode():
            self._layers = [_prepared(layer, dtype) for layer in model.model.layers]
            self._embedding = model.model.embed_tokens.weight.detach().to(dtype, copy=True)
            self._scores = packed_product(self._embedding)
            self._norm = model.model.norm.weight.detach().to(dtype, copy=True)
            places = torch.arange(config.max_length, device=self.device)
            self._rotary = rope_tables(places, config.head_dim, config.rope_base)

    @property
    def compiled(self) -> bool:
        """Whether it uses compiled kernels."""
        return self._kernels is not None

    def cache(self, rows: int, capacity: int) -> KVCache:
        """Room for the keys and values of so many sequences of at most so many tokens."""
        with torch.inference_mode():
            return KVCache(
                layers=self.config.num_layers,
                rows=rows,
                kv_heads=self.config.num_kv_heads,
                head_dim=self.config.head_dim,
                capacity=capacity,
                dtype=self.dtype,
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
        attended = self._attention(view)
        x = F.embedding(inputs, self._embedding)
        for number, layer in enumerate(self._layers):
            heads = layer.queries_keys_values(self._normed(x, layer.first_norm))
            mixed = attended(number, heads.view(*inputs.shape, -1, config.head_dim))
            if number == len(self._layers) - 1:
                # Of the last layer only the last real token is asked for.
                if counts is None:
                    mixed, x = mixed[:, -1], x[:, -1]
                else:
                    last = torch.arange(len(x), device=self.device), counts - 1
                    mixed, x = mixed[last], x[last]
            x = layer.out(mixed).add_(x)
            x = layer.down(self._gated(layer.gate_up(self._normed(x, layer.second_norm)))).add_(x)
        view.advance(inputs.shape[1] if counts is None else counts)
        return self._scores(self._normed(x, self._norm)).float()

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        if self._kernels is not None:
            return self._kernels.norm(x, weight, self.config.norm_eps)
        return rms_norm(x, self.config.norm_eps) * weight

    def _gated(self, x: Tensor) -> Tensor:
        """SwiGLU's product. [..., 2 I] -> [..., I]."""
        if self._kernels is not None:
            return self._kernels.gated(x)
        gate, up = x.chunk(2, -1)
        return F.silu(gate).mul_(up)

    def _attention(self, view: CacheView) -> Callable[[int, Tensor], Tensor]:
        """What each new position gathers from those it sees.

        Of the number of a layer and its queries, keys and values: [r, S, N + 2 K, E] -> [r, S, N E].
        """
        config, layers, kernels = self.config, self._layers, self._kernels
        eps, queries, both = config.norm_eps, config.num_heads, config.num_heads + config.num_kv_heads
        if kernels is not None:
            before = view.positions[:, 0].contiguous()

            def by_kernel(number: int, heads: Tensor) -> Tensor:
                keys, values = view.whole(number)
                norms = layers[number].head_norm
                return kernels.attend(heads, norms, self._rotary, keys.mT, values, before, eps).flatten(2)

            return by_kernel

        cos, sin = (table[view.positions].to(self.dtype) for table in self._rotary)
        bias = attention_bias(view.allowed(), self.dtype)

        def plain(number: int, heads: Tensor) -> Tensor:
            turned = rotate(rms_norm(heads[:, :, :both], eps) * layers[number].head_norm, cos, sin)
            key, value = view.extend(
                number, turned[:, :, queries:].transpose(1, 2), heads[:, :, both:].transpose(1, 2)
            )
            mixed = attend_causally(turned[:, :, :queries].transpose(1, 2), key, value, bias)
            return mixed.transpose(1, 2).flatten(2)

        return plain


def _prepared(layer: nn.Module, dtype: torch.dtype) -> _Layer:
    assert isinstance(layer, DecoderLayer)
    attention, mlp = layer.self_attn, layer.mlp

    def cast(*weights: Tensor) -> Tensor:
        return torch.cat([weight.detach() for weight in weights]).to(dtype)

    return _Layer(
        first_norm=cast(layer.input_layernorm.weight),
        queries_keys_values=packed_product(
            cast(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
        ),
        head_norm=torch.stack(
            [cast(attention.q_norm.weight)] * attention.heads
            + [cast(attention.k_norm.weight)] * attention.kv_heads
        ),
        out=packed_product(cast(attention.o_proj.weight)),
        second_norm=cast(layer.post_attention_layernorm.weight),
        gate_up=packed_product(cast(mlp.gate_proj.weight, mlp.up_proj.weight)),
        down=packed_product(cast(mlp.down_proj.weight)),
    )
