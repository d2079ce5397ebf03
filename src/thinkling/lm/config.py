"""What the language model looks like: Qwen3's architecture (arXiv 2505.09388) in sizes of our own."""

from __future__ import annotations

from dataclasses import dataclass

from thinkling.errors import InputError

TILE = 128
"""What every dimension of a published size is a multiple of, so that matrix units work on whole tiles."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Architecture of a decoder; the embedding table is the output layer too."""

    vocab_size: int = 32_768
    """Tokens, the special ones included."""
    max_length: int = 8192
    """Longest context, in tokens."""
    hidden_size: int = 1280
    """Width."""
    num_layers: int = 26
    """Layers."""
    num_heads: int = 10
    """Query heads."""
    num_kv_heads: int = 2
    """Key and value heads, each shared by num_heads / num_kv_heads query heads."""
    head_dim: int = 128
    """Size of a head."""
    inner_size: int = 3456
    """Inner width of the gated feed-forward."""
    rope_base: float = 500_000.0
    """Base of the rotary frequencies."""
    norm_eps: float = 1e-6
    """Added to the mean square in every norm."""
    tile_aligned: bool = False
    """Whether every dimension must be a multiple of 128, as in the published sizes."""

    def __post_init__(self) -> None:
        """Refuses sizes that cannot work.

        Raises:
            InputError: naming the first field out of its range.
        """
        for name in ("max_length", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "inner_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set model.{name}")
        if self.vocab_size < 2:
            raise InputError(f"vocab_size {self.vocab_size}", "2 or more", "set model.vocab_size")
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                f"num_heads {self.num_heads} with num_kv_heads {self.num_kv_heads}",
                "as many query heads for each key and value head",
                "change model.num_heads or model.num_kv_heads",
            )
        if self.head_dim < 2 or self.head_dim % 2:
            raise InputError(f"head_dim {self.head_dim}", "an even number", "set model.head_dim")
        if self.rope_base <= 1 or self.norm_eps <= 0:
            raise InputError(
                f"rope_base {self.rope_base}, norm_eps {self.norm_eps}",
                "a base above 1 and an epsilon above 0",
                "change model.rope_base or model.norm_eps",
            )
        if self.tile_aligned:
            for name in ("vocab_size", "hidden_size", "head_dim", "inner_size", "max_length"):
                if getattr(self, name) % TILE:
                    raise InputError(
                        f"{name} {getattr(self, name)} in a tile-aligned model",
                        f"a multiple of {TILE}",
                        f"change model.{name}, or switch model.tile_aligned off",
                    )
