"""How fast training is, as a share of what this machine's matrix products reach."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from thinkling.errors import InputError
from thinkling.nn.precision import measure_matmul
from thinkling.training.config import TrainConfig
from thinkling.training.objective import Objective, S
from thinkling.training.update import Update

_GIGA = 1e9
_WARM_UP = 2
_PROBE_SECONDS = 0.1


def training_speed(
    objective: Objective[S], config: TrainConfig, *, flops: int, steps: int, dtype: torch.dtype
) -> dict[str, Any]:
    """The speed of training steps with everything the trainer does in one.

    The share is necessary operations over the matrix product rate measured right before and after each step: shared
    machines change their speed within seconds.

    Args:
        objective: what is trained.
        config: how.
        flops: necessary operations of a step.
        steps: measured steps, after two of warm-up.
        dtype: of the matrix products.

    Raises:
        InputError: no step to measure.
    """
    if steps < 1:
        raise InputError(f"{steps} steps", "1 or more", "give a larger number")
    update = Update(objective.model, config)
    device = next(objective.model.parameters()).device
    slots = objective.fresh_state()
    taken, rates = [], [measure_matmul(device, dtype, seconds=_PROBE_SECONDS)]
    for step in range(1, steps + _WARM_UP + 1):
        start = time.perf_counter()
        update.clear()
        slots, loss = objective.loss(objective.model, slots, step)
        (loss.total / loss.count).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        update.gradient_norm().item()
        update.apply(step, 0.0)
        taken.append(time.perf_counter() - start)
        rates.append(measure_matmul(device, dtype, seconds=_PROBE_SECONDS))
    shares = [
        flops / seconds / ((before + after) / 2)
        for seconds, before, after in zip(taken, rates, rates[1:], strict=False)
    ]
    seconds = statistics.median(taken[_WARM_UP:])
    return {
        "examples_per_second": round(objective.batch_size / seconds, 2),
        "step_seconds": round(seconds, 4),
        "gflops": round(flops / seconds / _GIGA, 1),
        "matmul_gflops": round(statistics.median(rates[_WARM_UP:]) / _GIGA, 1),
        "share_of_matmul_rate": round(statistics.median(shares[_WARM_UP:]), 3),
    }
