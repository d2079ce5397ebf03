"""Norms: root mean square without and with a weight (Zhang and Sennrich 2019, equation 4), layer norm without a bias.

Shapes: ... any leading dimensions, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.nn import fused


def rms_norm(x: Tensor, eps: float, *, dim: int = -1) -> Tensor:
    """Divide by sqrt(mean of squares along `dim` + eps); same shape and dtype as `x`.

    The scale is computed in fp32 whatever the dtype of `x`, and applied in it.
    """
    if dim in (-1, x.ndim - 1):
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square()
    else:  # the norm's kernel is twenty times slower than this along any other dimension
        squares = x.square().sum(dim, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(squares / x.shape[dim] + eps).to(x.dtype)


def add_rms_norm(x: Tensor, residual: Tensor, eps: float, *, dim: int = -1) -> Tensor:
    """`rms_norm(x + residual)`, by one kernel where `fused_kernels` says so; may reuse the memory of `x`."""
    if fused.wanted(x, residual) and fused.norm_fits(x, dim):
        return fused.add_rms_norm(x, residual, eps, dim=dim)
    return rms_norm(x.add_(residual), eps, dim=dim)


class LayerNorm(nn.Module):
    """Layer norm (Ba et al. 2016) with a weight and no bias, in the dtype of `x`. [..., D] -> [..., D]."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), None, self.eps)


class RMSNorm(nn.Module):
    """`rms_norm` times a weight, in the dtype of `x`. [..., D] -> [..., D]."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.eps) * self.weight.to(x.dtype)
