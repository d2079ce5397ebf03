"""Root-mean-square norm without a weight, in fp32 whatever the compute dtype (Zhang and Sennrich 2019)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, eps: float, *, dim: int = -1) -> Tensor:
    """Divide by sqrt(mean of squares along `dim` + eps); same shape and dtype as `x`."""
    if dim in (-1, x.ndim - 1):
        return F.rms_norm(x, (x.shape[-1],), eps=eps)
    wide = x.float()
    scale = wide.square().mean(dim, keepdim=True).add_(eps).rsqrt_()
    return (wide * scale).to(x.dtype)
