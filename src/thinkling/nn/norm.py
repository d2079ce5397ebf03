"""Root-mean-square norm without a weight (Zhang and Sennrich 2019, equation 4)."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, eps: float, *, dim: int = -1) -> Tensor:
    """Divide by sqrt(mean of squares along `dim` + eps); same shape and dtype as `x`.

    The scale is computed in fp32 whatever the dtype of `x`, and applied in it.
    """
    if dim in (-1, x.ndim - 1):
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square()
    else:  # the norm's kernel is twenty times slower than this along any other dimension
        squares = x.square().sum(dim, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(squares / x.shape[dim] + eps).to(x.dtype)
