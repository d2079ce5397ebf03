"""The last linear layer and its cross-entropy as one operation: the scores of all tokens never exist at once.

Shapes: R rows (positions), C rows that are asked for, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_ROWS = 256
"""A product with fewer rows would wait for the weight."""
_VALUES_ON_CPU, _VALUES_ELSEWHERE = 1 << 20, 1 << 26
"""Scores of one piece: on a CPU what its caches hold, on a GPU what keeps it busy."""


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, *, z_loss: float = 0.0, ignore_label: int = -100
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of `hidden @ weight.T`, a piece of the rows at a time.

    Where a gradient is wanted, those of `hidden` and `weight` are computed together with the loss, while the piece's
    scores are there, and only scaled in the backward pass (Liger, Hsu et al. 2024, arXiv 2410.10989). Rows without a
    label are not multiplied at all.

    Args:
        hidden: [R, D] in the dtype of the products.
        weight: [V, D]; cast to the dtype of `hidden`. Its gradient is summed in fp32.
        labels: [R] the right token of each row, or `ignore_label`.
        z_loss: weight of the squared logarithm of the softmax's denominator, which keeps scores from drifting
            (PaLM, arXiv 2204.02311, section 5).
        ignore_label: rows with this label count nothing.

    Returns:
        The summed loss, a scalar with gradient, z-loss included; [R] cross-entropy of each row in fp32, without
        gradient, 0 where ignored; [R] whether a row's highest score is that of its label.
    """
    gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, losses, right = _LinearCrossEntropy.apply(hidden, weight, labels, z_loss, ignore_label, gradient)  # type: ignore[no-untyped-call]  # torch
    return total, losses, right


class _LinearCrossEntropy(torch.autograd.Function):
    """[R, D], [V, D], [R] -> scalar, [R], [R]."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        z_loss: float,
        ignore_label: int,
        gradient: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device
        losses = torch.zeros(len(labels), dtype=torch.float32, device=device)
        right = torch.zeros(len(labels), dtype=torch.bool, device=device)
        asked = torch.nonzero(labels != ignore_label).squeeze(-1)
        total = torch.zeros((), dtype=torch.float32, device=device)
        cast = weight.to(hidden.dtype)
        to_hidden = torch.zeros_like(hidden) if gradient else None
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=device) if gradient else None
        for piece in _pieces(asked, len(weight)):
            rows, targets = hidden[piece], labels[piece].unsqueeze(-1)
            scores = (rows @ cast.t()).float()
            # Not `max`, which on a CPU takes ten times as long, and needs its second result for a few rows only.
            largest = scores.amax(-1, keepdim=True)
            # The largest score and the logarithm of the sum stay apart: added up, large scores would swallow the loss.
            scores -= largest
            picked = scores.gather(-1, targets)
            highest = torch.nonzero((picked == 0).squeeze(-1)).squeeze(-1)
            right[piece[highest]] = scores[highest].argmax(-1) == targets[highest].squeeze(-1)
            scores.exp_()
            sums = scores.sum(-1, keepdim=True)
            log_sums = sums.log()
            denominator = log_sums + largest
            losses[piece] = (log_sums - picked).squeeze(-1)
            total += (log_sums - picked + z_loss * denominator.square()).sum()
            if to_hidden is None or to_weight is None:
                continue
            # d loss / d score = softmax * (1 + 2 z log Z) - one-hot of the label
            scores *= (1 + 2 * z_loss * denominator) / sums
            scores.scatter_add_(-1, targets, torch.full_like(denominator, -1.0))
            slopes = scores.to(hidden.dtype)
            to_hidden[piece] = slopes @ cast
            if hidden.dtype == torch.float32:
                to_weight.addmm_(slopes.t(), rows)
            else:
                to_weight += slopes.t() @ rows
        ctx.gradients = (to_hidden, to_weight)
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(losses, right)
        ctx.set_materialize_grads(False)
        return total, losses, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        scale, (to_hidden, to_weight) = upstream[0], ctx.gradients
        if scale is None:
            return (None,) * 6
        assert to_hidden is not None, "the gradient of this loss can be asked for once"
        ctx.gradients = (None, None)
        # In place, since a second copy of a large vocabulary's gradient would be the largest tensor of all.
        return to_hidden.mul_(scale), to_weight.mul_(scale).to(ctx.weight_dtype), None, None, None, None


def _pieces(rows: Tensor, vocab_size: int) -> tuple[Tensor, ...]:
    """Numbers of the rows to work on at a time. [C] -> some [c]."""
    values = _VALUES_ON_CPU if rows.device.type == "cpu" else _VALUES_ELSEWHERE
    return torch.split(rows, max(_LEAST_ROWS, values // vocab_size)) if len(rows) else ()
