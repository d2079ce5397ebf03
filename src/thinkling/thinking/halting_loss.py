"""The loss of the Q values.

Shapes: B slots.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def q_loss(q: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of Q logits against targets in [0, 1], without reduction. [B]."""
    return F.binary_cross_entropy_with_logits(q, target.to(q.dtype), reduction="none")


def continue_target(next_q_halt: Tensor, next_q_continue: Tensor, last_step: Tensor) -> Tensor:
    """Bootstrapped value of thinking on (HRM, section 2.4): the better of the next step's values, at the limit its halt
    value. [B] probabilities without gradient."""
    best = torch.where(last_step, next_q_halt, torch.maximum(next_q_halt, next_q_continue))
    return torch.sigmoid(best).detach()
