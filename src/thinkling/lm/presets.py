"""Sizes of the language model, by their number of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from thinkling.errors import InputError, nearest
from thinkling.lm.config import DecoderConfig


def _laptop(
    vocab: int, width: int, layers: int, heads: int, inner: int, head_dim: int, length: int
) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=vocab,
        max_length=length,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=2,
        head_dim=head_dim,
        inner_size=inner,
    )


PRESETS: Mapping[str, DecoderConfig] = {
    "1m": _laptop(2048, 128, 4, 4, 384, 32, 1024),
    "5m": _laptop(4096, 256, 5, 4, 768, 64, 1024),
    "15m": _laptop(8192, 384, 8, 6, 1024, 64, 2048),
    "50m": _laptop(16_384, 512, 14, 8, 1536, 64, 2048),
    "500m": DecoderConfig(tile_aligned=True),
    "1b": DecoderConfig(
        tile_aligned=True,
        max_length=16_384,
        hidden_size=2048,
        num_layers=20,
        num_heads=16,
        num_kv_heads=4,
        inner_size=5504,
    ),
    "3b": DecoderConfig(
        tile_aligned=True,
        max_length=32_768,
        hidden_size=3072,
        num_layers=28,
        num_heads=24,
        num_kv_heads=6,
        inner_size=8192,
    ),
}
"""Laptop sizes with small vocabularies; from 500m on the published ones."""


def preset(name: str) -> DecoderConfig:
    """A size by its name, in any case.

    Raises:
        InputError: an unknown name.
    """
    if name.lower() not in PRESETS:
        raise InputError(f"preset {name!r}", ", ".join(PRESETS), nearest(name.lower(), PRESETS))
    return PRESETS[name.lower()]
