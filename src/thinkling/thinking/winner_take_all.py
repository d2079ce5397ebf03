"""K parallel carries of every question in training, and the gradient through the best of them only.

In the spirit of "Speed is Confidence" (arXiv 2601.19085), which keeps K = 4 latent states of a question and
back-propagates through the one with the lowest loss: the carries may come to different answers, and none is pulled
towards the mean of several. Where they differ in the beginning is up to the caller (`perturbation.py`). What that paper
leaves to its code is decided here: the token loss chooses the winner anew in every segment, and a question halts with
all its carries when the winner does.

Shapes: B questions, K carries of each, R = B * K rows (those of a question side by side), L positions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.nn.cross_entropy import LossName
from thinkling.thinking.carry import Carry
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.slots import B, Forward, Slots
from thinkling.thinking.supervision import SegmentLoss, supervised_segment, token_losses


def winner_segment(
    forward: Forward,
    state: Slots[B],
    labels: Tensor,
    *,
    carries: int,
    step: int,
    slots: NDArray[np.int64],
    halting: HaltingConfig,
    seed: int,
    loss: LossName,
) -> tuple[Slots[B], SegmentLoss]:
    """One segment of every row without gradient, and again with gradient of the best row of each question.

    So the cost is K + 1 passes forward and one back; memory is that of one carry a question.

    Args:
        forward: the model (or its data-parallel wrapper).
        state: filled slots, R rows.
        labels: [R, L] of what they hold.
        carries: K.
        step: the training step.
        slots: [B] numbers of the questions in the whole batch.
        halting: adaptive computation time.
        seed: of the run.
        loss: which token loss.

    Returns:
        the slots after the segment, R rows, and the loss and metrics of the B winners.
    """
    with torch.no_grad():
        after, output = forward(state.carry, state.batch)
        of_row = token_losses(output.logits, labels, loss=loss).sum(-1)
        first = torch.arange(0, len(of_row), carries, device=of_row.device)
        # A loss that is not a number wins, and so is noticed.
        best = first + of_row.view(-1, carries).argmin(-1)
    winners = Slots(
        carry=state.carry.select(best), batch=state.batch.select(best), refills=state.refills[best]
    )
    won, losses = supervised_segment(
        forward, winners, labels[best], step=step, slots=slots, halting=halting, seed=seed, loss=loss
    )
    return replace(state, carry=_with_winners(after, best, won.carry, carries)), losses


def _with_winners(carry: Carry, best: Tensor, winners: Carry, carries: int) -> Carry:
    """All rows, with those that had gradient in their places and the winner's decision for every row of a question."""
    return Carry(
        z_H=carry.z_H.index_copy(0, best, winners.z_H),
        z_L=carry.z_L.index_copy(0, best, winners.z_L),
        steps=carry.steps,
        halted=winners.halted.repeat_interleave(carries),
    )
