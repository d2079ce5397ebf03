"""Deep supervision: every segment has its own loss (HRM section 2.2, TRM section 2.4).

Losses and metrics are sums with counts; whoever reports them divides once, after all ranks are added.

Shapes: B slots, L positions (or places to be predicted), V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.nn.cross_entropy import LossName, token_cross_entropy
from thinkling.thinking.carry import SegmentOutput
from thinkling.thinking.halting import HaltingConfig, exploration_least_steps
from thinkling.thinking.halting_loss import q_loss
from thinkling.thinking.slots import B, Forward, Slots, training_segment

HaltTarget = Literal["exact", "share"]
"""What the halt value predicts: that all counted tokens are right, or the share of them that are."""

_EXPLORATION_STREAM = 0x5EED
"""Keeps the draws of exploration apart from those of the data order."""

HALT_LOSS_WEIGHT = 0.5
"""Weight of the Q losses beside the token loss (HRM's and TRM's code)."""


def token_losses(logits: Tensor, labels: Tensor, *, loss: LossName, ignore_label: int = -100) -> Tensor:
    """Token losses over the number of counted tokens in their row, so that a row adds up to its mean.

    logits [B, L, V], labels [B, L] -> [B, L], 0 where a token is not counted.
    """
    divisor = (labels != ignore_label).sum(-1).clamp(min=1)
    return token_cross_entropy(logits, labels, loss=loss, ignore_label=ignore_label) / divisor.unsqueeze(-1)


@dataclass(frozen=True, kw_only=True)
class SegmentLoss:
    """Loss and metrics of one segment, as sums."""

    total: Tensor
    """Scalar, summed over the slots: token loss of each row (mean over its counted tokens) plus half the Q losses."""
    lm_loss: Tensor
    """Scalar token part of `total`."""
    q_halt_loss: Tensor
    """Scalar, summed over the slots."""
    q_continue_loss: Tensor | None
    """Scalar, summed over the slots; None where no continue value is learned."""
    count: Tensor
    """Slots that have halted and have counted tokens; the five figures below are sums over these."""
    accuracy: Tensor
    """Share of counted tokens right."""
    exact_accuracy: Tensor
    """All counted tokens right."""
    q_halt_accuracy: Tensor
    """The halt value agrees with being exactly right."""
    steps: Tensor
    """Segments spent."""


def segment_loss(
    output: SegmentOutput,
    labels: Tensor,
    *,
    halted: Tensor,
    steps: Tensor,
    loss: LossName,
    target_q_continue: Tensor | None = None,
    halt_target: HaltTarget = "exact",
    ignore_label: int = -100,
) -> SegmentLoss:
    """The loss of one segment and the metrics of the slots that halt with it.

    A row without counted tokens is "exactly right" for the halt target, as in the official code.

    Args:
        output: logits [B, L, V], q_halt [B], q_continue [B].
        labels: [B, L].
        halted: [B] bool, the decision taken after this segment.
        steps: [B], this segment included.
        loss: which token loss.
        target_q_continue: [B] probabilities, or None to leave the continue value untrained.
        halt_target: what the halt value predicts.
        ignore_label: label of a token that is not counted.
    """
    counted = labels != ignore_label
    counts = counted.sum(-1)
    divisor = counts.clamp(min=1)
    with torch.no_grad():
        # The index of `max`: `argmax` over bf16 is four times slower on a CPU.
        right = counted & (output.logits.max(-1).indices == labels)
        exact = right.sum(-1) == counts
        scored = halted & (counts > 0)
        share = right.sum(-1) / divisor
        accuracy = torch.where(scored, share, 0).sum()
    lm_loss = token_losses(output.logits, labels, loss=loss, ignore_label=ignore_label).sum()
    q_halt_loss = q_loss(output.q_halt, exact if halt_target == "exact" else share).sum()
    q_continue_loss = None
    q_losses = q_halt_loss
    if target_q_continue is not None:
        q_continue_loss = q_loss(output.q_continue, target_q_continue).sum()
        q_losses = q_halt_loss + q_continue_loss
    return SegmentLoss(
        total=lm_loss + HALT_LOSS_WEIGHT * q_losses,
        lm_loss=lm_loss.detach(),
        q_halt_loss=q_halt_loss.detach(),
        q_continue_loss=None if q_continue_loss is None else q_continue_loss.detach(),
        count=scored.sum(),
        accuracy=accuracy,
        exact_accuracy=(scored & exact).sum(),
        q_halt_accuracy=(scored & ((output.q_halt >= 0) == exact)).sum(),
        steps=torch.where(scored, steps, 0).sum(),
    )


def supervised_segment(
    forward: Forward,
    state: Slots[B],
    labels: Tensor,
    *,
    step: int,
    slots: NDArray[np.int64],
    halting: HaltingConfig,
    seed: int,
    loss: LossName,
    halt_target: HaltTarget = "exact",
) -> tuple[Slots[B], SegmentLoss]:
    """One segment of every slot with gradient, the decision who halts, and its loss.

    Args:
        forward: the model (or its data-parallel wrapper).
        state: filled slots.
        labels: [B, L] of what they hold.
        step: the training step; it sets the limit of segments and the draws of exploration.
        slots: [B] numbers of the slots in the whole batch.
        halting: adaptive computation time.
        seed: of the run.
        loss: which token loss.
        halt_target: what the halt value predicts.

    Returns:
        the slots after the segment, and the loss.
    """
    limit = halting.limit_at(step)
    least = exploration_least_steps(
        seed ^ _EXPLORATION_STREAM, step, slots, exploration=halting.exploration, limit=limit
    )
    segment = training_segment(
        forward,
        state.carry,
        state.batch,
        # With a single segment there is nothing to continue to, and no value of it to learn.
        learning=halting.learning if limit > 1 else "halt_only",
        limit=limit,
        least_steps=torch.from_numpy(least).to(labels.device, non_blocking=True),
    )
    losses = segment_loss(
        segment.output,
        labels,
        halted=segment.carry.halted,
        steps=segment.carry.steps,
        loss=loss,
        target_q_continue=segment.target_q_continue,
        halt_target=halt_target,
    )
    return Slots(carry=segment.carry, batch=state.batch, refills=state.refills), losses
