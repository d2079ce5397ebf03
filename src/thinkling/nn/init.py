"""Initial weights.

`truncated_normal_` keeps the asked standard deviation after truncation, as JAX's and HRM's initialisers do: the normal
is cut at two of *its* deviations and scaled up, so that values end at 2.2737 times the asked deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CUT = 2.0
_DENSITY_AT_CUT = math.exp(-0.5 * _CUT**2) / math.sqrt(2 * math.pi)
_MASS_INSIDE = math.erf(_CUT / math.sqrt(2))
_DEVIATION_AFTER_CUT = math.sqrt(1 - 2 * _CUT * _DENSITY_AT_CUT / _MASS_INSIDE)


@torch.no_grad()
def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill in place with a truncated normal whose deviation is `std`; values lie within 2.2737 * std."""
    if std == 0:
        return tensor.zero_()
    edge = _MASS_INSIDE
    uniform = torch.empty_like(tensor, dtype=torch.float32).uniform_(-edge, edge, generator=generator)
    normal = torch.erfinv(uniform) * math.sqrt(2) * (std / _DEVIATION_AFTER_CUT)
    limit = _CUT * std / _DEVIATION_AFTER_CUT
    return tensor.copy_(normal.clamp_(-limit, limit))
