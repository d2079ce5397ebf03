"""Random starts and random paths of the carry in training, so that many starts lead to the same answer.

Equilibrium Reasoners (arXiv 2605.21488) train with a random initial state and with noise along the path; at inference
several chains of one question then differ, and their agreement or their residual tells which one to trust. This is in
the spirit of that work: there the whole initial state is drawn and noise follows every update of a module, here noise
is added to the fixed initial state and to the carry between two segments, where inference can do the same, and
inference without noise stays as it is.

Shapes: R rows (carries), S positions, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.data.sampling import random_words
from thinkling.data.transfer import sent
from thinkling.errors import InputError
from thinkling.thinking.carry import Carry

_NOISE_STREAM = 0x401CE
"""Keeps the draws of noise apart from those of the data order and of exploration."""
_ROW_BY_ROW = ("cpu",)
"""Devices whose values the host knows without waiting."""


@dataclass(frozen=True, kw_only=True)
class CarryNoise:
    """Gaussian noise on the carry in training; values of a state have a mean square of about 1."""

    initial: float = 0.0
    """Standard deviation of what is added to the initial state of every question (0: none); Equilibrium Reasoners draw
    the state itself with 1."""
    path: float = 0.0
    """Standard deviation of what is added to the carry between two segments (0: none); Equilibrium Reasoners add 0.01
    to each update within a segment."""

    def __post_init__(self) -> None:
        for name in ("initial", "path"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"noise.{name} {value}", "0 (off) or more, and finite", f"set noise.{name}")

    @property
    def on(self) -> bool:
        """Whether there is any noise."""
        return self.initial > 0 or self.path > 0


def perturbed(
    carry: Carry, started: Carry, noise: CarryNoise, *, seed: int, step: int, rows: NDArray[np.int64], of: int
) -> Carry:
    """The carry as the next segment gets it: halted rows start anew, and every row has its noise.

    The numbers depend on (seed, step, row) only, so they need no saved random state and no agreement between ranks.
    On a CPU, which knows at once what has halted, no more are drawn than needed. On other devices, where the host would
    have to wait for that, one draw serves the whole batch, and the numbers also depend on the batch's size.

    Args:
        carry: state of R rows; not changed.
        started: what a reset gives, R rows.
        noise: how much.
        seed: of the run.
        step: the training step.
        rows: [R] numbers of the rows in the whole batch.
        of: rows of the whole batch.

    Returns:
        a carry in which no row is halted; rows that were have spent no step.
    """
    fresh = carry.halted.view(-1, 1, 1)
    shape, device = carry.z_H.shape[1:], carry.z_H.device
    if device.type in _ROW_BY_ROW:
        deviations = [noise.initial if halted else noise.path for halted in carry.halted.tolist()]
        drawn = _normal_rows(shape, deviations, seed=seed, step=step, rows=rows)
    else:
        drawn = _normal_batch((of, 2, *shape), seed=seed, step=step, device=device)
        if len(rows) < of:
            drawn = drawn[sent(torch.from_numpy(rows), device)]
        drawn = drawn * torch.where(fresh, noise.initial, noise.path)[:, None]
    return Carry(
        z_H=torch.where(fresh, started.z_H, carry.z_H) + drawn[:, 0].to(carry.z_H.dtype),
        z_L=torch.where(fresh, started.z_L, carry.z_L) + drawn[:, 1].to(carry.z_L.dtype),
        steps=torch.where(carry.halted, 0, carry.steps),
        halted=torch.zeros_like(carry.halted),
    )


def _normal_rows(
    shape: Sequence[int], deviations: Sequence[float], *, seed: int, step: int, rows: NDArray[np.int64]
) -> Tensor:
    """Normal numbers for z_H and z_L of each row, with a deviation a row: [R, 2, S, D] fp32 on the CPU.

    Each row has a generator of its own: its numbers do not depend on the other rows.
    """
    drawn = torch.zeros(len(rows), 2, *shape)
    keys = _keys(seed, rows + (step << 20))
    generator = torch.Generator()
    for row, deviation in enumerate(deviations):
        if deviation:
            generator.manual_seed(int(keys[row]))
            drawn[row].normal_(0.0, deviation, generator=generator)
    return drawn


def _normal_batch(shape: Sequence[int], *, seed: int, step: int, device: torch.device) -> Tensor:
    """Standard normal numbers for z_H and z_L of every row of the batch, in one draw: [rows, 2, S, D] fp32."""
    generator = torch.Generator(device=device)
    generator.manual_seed(int(_keys(seed, np.array([step << 20]))[0]))
    return torch.empty(*shape, device=device).normal_(generator=generator)


def _keys(seed: int, items: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A generator's seed for each item, [N]."""
    return random_words(seed ^ _NOISE_STREAM, items, 1)[:, 0] >> np.uint64(1)
