"""Token losses without reduction; ignored tokens give 0.

Shapes: ... any leading dimensions, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

LossName = Literal["stablemax", "softmax"]
"""Stablemax: Prieto et al. 2025, arXiv 2501.04697; softmax: the ordinary cross-entropy."""


_VALUES_AT_A_TIME = 1 << 19
"""2 MiB in fp32."""


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
    if loss == "softmax":
        flat: Tensor = _SoftmaxCrossEntropy.apply(logits.reshape(-1, logits.shape[-1]), targets.flatten())  # type: ignore[no-untyped-call]  # torch
        return torch.where(counted, flat.view(labels.shape), 0)
    picked = log_stablemax(logits.double()).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, -picked, 0)


class _SoftmaxCrossEntropy(torch.autograd.Function):
    """logsumexp(logits) - logits[target] in fp32, a few rows at a time. [R, V], [R] -> [R].

    Over a large vocabulary the plain way writes and reads [R, V] in fp32 several times over; here a piece stays in the
    cache for all the operations on it, which more than halves the time on a CPU and the memory everywhere.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        # The largest logit and the logarithm of the sum stay apart: added up, large logits would swallow the loss.
        largest, log_sums, losses = torch.empty(3, len(logits), 1, dtype=torch.float32, device=logits.device)
        for piece in _pieces(logits):
            values = logits[piece].float()
            largest[piece] = values.amax(-1, keepdim=True)
            values = values - largest[piece]
            picked = values.gather(-1, targets[piece].unsqueeze(-1))
            log_sums[piece] = values.exp_().sum(-1, keepdim=True).log_()
            losses[piece] = log_sums[piece] - picked
        ctx.save_for_backward(logits, targets, largest, log_sums)
        flat: Tensor = losses.squeeze(-1)
        return flat

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        logits, targets, largest, log_sums = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        weights = upstream[0].float().unsqueeze(-1)
        for piece in _pieces(logits):
            values = (
                (logits[piece].float() - largest[piece]).sub_(log_sums[piece]).exp_().mul_(weights[piece])
            )
            gradient[piece] = values.scatter_add_(-1, targets[piece].unsqueeze(-1), -weights[piece])
        return gradient, None


def _pieces(logits: Tensor) -> list[slice]:
    """Rows to work on at a time."""
    rows = max(1, _VALUES_AT_A_TIME // logits.shape[-1])
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]
