"""Token losses without reduction; ignored tokens give 0.

Shapes: ... any leading dimensions, V vocabulary.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossName = Literal["stablemax", "softmax"]
"""Stablemax: Prieto et al. 2025, arXiv 2501.04697; softmax: the ordinary cross-entropy."""


def log_stablemax(logits: Tensor) -> Tensor:
    """log(s(x) / sum s), s(x) = x + 1 for x >= 0 and 1 / (1 - x) below. [..., V] -> [..., V].

    Both branches see only arguments of their own side: a plain `where` gives NaN gradients where the unused branch
    divides by zero (x = 1).
    """
    log_s = torch.where(logits >= 0, torch.log1p(logits.clamp(min=0)), -torch.log1p(-logits.clamp(max=0)))
    return log_s - torch.logsumexp(log_s, dim=-1, keepdim=True)


def token_cross_entropy(
    logits: Tensor, labels: Tensor, *, loss: LossName, ignore_label: int = -100
) -> Tensor:
    """Loss of every token, 0 where the label is ignored. logits [..., V], labels [...] -> [...].

    Stablemax is computed in float64 and softmax in float32, as in HRM's and TRM's code.
    """
    counted = labels != ignore_label
    targets = torch.where(counted, labels, 0).long()
    if loss == "stablemax":
        log_probabilities = log_stablemax(logits.double())
    else:
        log_probabilities = F.log_softmax(logits.float(), dim=-1)
    picked = log_probabilities.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, -picked, 0)
