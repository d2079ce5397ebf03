"""What a Thinking-BERT looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thinkling.errors import InputError
from thinkling.nn.block import Activation

HighLevel = Literal["none", "vector", "pooled-windows"]
"""What the high-level state holds: nothing (an encoder that iterates over tokens only), one vector for a piece of text
(the published design), or one for every window of its tokens, so that the high-level attention has something to see."""


@dataclass(frozen=True, kw_only=True)
class ThinkingBertConfig:
    """Architecture of a Thinking-BERT."""

    vocab_size: int = 16_384
    """Tokens, the five special ones included."""
    max_length: int = 128
    """Longest row of tokens."""
    hidden_size: int = 256
    """Width of the latent state."""
    num_heads: int = 4
    """Attention heads."""
    inner_size: int = 512
    """Inner width of the gated feed-forward."""
    low_layers: int = 4
    """Layers of the low-level module."""
    high_layers: int = 4
    """Layers of the high-level module; unused with high_level "none"."""
    L_cycles: int = 1
    """Low-level iterations in a round (T)."""
    high_level: HighLevel = "pooled-windows"
    """What the high-level state holds."""
    pooling_window: int = 16
    """Tokens whose mean is one position of the high-level module, with high_level "pooled-windows"."""
    local_attention: int = 128
    """Neighbours that a token sees in a local layer, half of them on each side."""
    global_every: int = 3
    """Every so manieth low-level layer, the first included, sees the whole piece of text."""
    local_rope_base: float = 10_000.0
    """Base of the rotary frequencies in local layers."""
    global_rope_base: float = 160_000.0
    """Base of the rotary frequencies in global and in high-level layers."""
    activation: Activation = "gelu"
    """Activation of the gated feed-forward."""
    norm_eps: float = 1e-5
    """Added to the variance in every norm."""

    def __post_init__(self) -> None:
        for name in (
            "max_length",
            "hidden_size",
            "num_heads",
            "inner_size",
            "low_layers",
            "L_cycles",
            "pooling_window",
            "global_every",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set model.{name}")
        if self.vocab_size < 6:
            raise InputError(f"vocab_size {self.vocab_size}", "6 or more", "set model.vocab_size")
        if self.high_layers < 1 and self.high_level != "none":
            raise InputError(
                f"high_layers {self.high_layers} with high_level {self.high_level}",
                "1 or more",
                "set model.high_layers, or model.high_level none",
            )
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} with num_heads {self.num_heads}",
                "heads that divide the width into even sizes",
                "change model.hidden_size or model.num_heads",
            )
        if self.local_attention < 2 or self.local_attention % 2:
            raise InputError(
                f"local_attention {self.local_attention}",
                "an even number of at least 2",
                "set model.local_attention",
            )
