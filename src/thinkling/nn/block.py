"""Residual blocks, post-norm and pre-norm: mix over positions, then over channels.

Shapes: B batch, S positions, D width.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from thinkling.nn.attention import Attention
from thinkling.nn.feed_forward import GeGLU, PositionSwiGLU, SwiGLU, inner_width
from thinkling.nn.local_mixing import LocalMixing
from thinkling.nn.norm import LayerNorm, add_rms_norm

Mixing = Literal["attention", "mlp", "local"]
"""How positions exchange information: multi-head attention, a SwiGLU over the positions, or with their neighbours in a
grid."""


class Block(nn.Module):
    """`x = norm(x + mix(x)); x = norm(x + mlp(x))`. [B, S, D] -> [B, S, D].

    With `mixing="mlp"` the norm after the mixing runs over the positions of each channel, as in TRM's code.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        positions: int,
        expansion: float,
        mixing: Mixing,
        grid: tuple[int, int],
        norm_eps: float,
        inner_multiple: int = 256,
    ) -> None:
        super().__init__()
        self.norm_eps = norm_eps
        self.self_attn = Attention(width, heads) if mixing == "attention" else None
        self.mlp_t = (
            PositionSwiGLU(positions, inner_width(positions, expansion, inner_multiple))
            if mixing == "mlp"
            else None
        )
        self.local = LocalMixing(width, *grid) if mixing == "local" else None
        self.mlp = SwiGLU(width, inner_width(width, expansion, inner_multiple))

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        if self.self_attn is not None:
            x = add_rms_norm(self.self_attn(x, rotary), x, self.norm_eps)
        elif self.local is not None:
            x = add_rms_norm(self.local(x), x, self.norm_eps)
        elif self.mlp_t is not None:
            x = add_rms_norm(self.mlp_t(x), x, self.norm_eps, dim=1)
        return add_rms_norm(self.mlp(x), x, self.norm_eps)


Activation = Literal["gelu", "silu"]
"""Activation of a gated feed-forward: GeGLU or SwiGLU."""


class PreNormBlock(nn.Module):
    """`x = x + mix(norm(x)); x = x + mlp(norm(x))`, as in ModernBERT (arXiv 2412.13663). [B, S, D] -> [B, S, D].

    With `first` the norm before the mixing is left out: what comes in has just been normed.
    """

    def __init__(
        self, *, width: int, heads: int, inner: int, activation: Activation, norm_eps: float, first: bool
    ) -> None:
        super().__init__()
        self.attn_norm = None if first else LayerNorm(width, norm_eps)
        self.attn = Attention(width, heads)
        self.mlp_norm = LayerNorm(width, norm_eps)
        self.mlp = GeGLU(width, inner) if activation == "gelu" else SwiGLU(width, inner)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        x = x + self.attn(x if self.attn_norm is None else self.attn_norm(x), rotary, bias)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out
