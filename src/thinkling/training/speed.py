"""How fast training is, as a share of what this machine's matrix products reach."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from thinkling.errors import InputError
from thinkling.nn.fused import fused_kernels
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

    Args:
        objective: what is trained.
        config: how.
        flops: necessary operations of a step.
        steps: measured steps, after two of warm-up.
        dtype: of the matrix products.

    Raises:
        InputError: no step to measure.
    """
    found = speeds_of(
        {"training": training_loop(objective, config)},
        examples=objective.batch_size,
        flops=flops,
        steps=steps,
        device=next(objective.model.parameters()).device,
        dtype=dtype,
    )
    return {name: value for name, value in found["training"].items() if name != "times_first"}


def training_loop(objective: Objective[S], config: TrainConfig) -> Callable[[int], None]:
    """Training steps with everything the trainer does in one; each is made by a call with its number (from 1)."""
    update = Update(objective.model, config)
    slots = objective.fresh_state()
    device = next(objective.model.parameters()).device

    def step(number: int) -> None:
        nonlocal slots
        update.clear()
        with fused_kernels(config.fused, device):
            slots, loss = objective.loss(objective.model, slots, number)
            (loss.total / loss.count).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        update.gradient_norm().item()
        update.apply(number, 0.0)

    return step


def speeds_of(
    loops: Mapping[str, Callable[[int], None]],
    *,
    examples: int,
    flops: int,
    steps: int,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, dict[str, Any]]:
    """The speeds of several loops, a step of each in turn: shared machines change their speed within seconds.

    For the same reason the share is necessary operations over the matrix product rate measured right before and after
    each step, and `times_first` the median over the turns. The first step, in which whatever is compiled at its first
    use is compiled, is timed apart.

    Args:
        loops: each makes the step whose number (from 1) it is given.
        examples: of a step.
        flops: necessary operations of a step.
        steps: measured steps of each loop, after two of warm-up.
        device: where they run; a step ends when the device has done all of it.
        dtype: of the matrix products.

    Returns:
        for each loop its figures; `times_first` is its speed as a multiple of the first loop's.

    Raises:
        InputError: no step to measure.
    """
    if steps < 1:
        raise InputError(f"{steps} steps", "1 or more", "give a larger number")
    taken: dict[str, list[float]] = {name: [] for name in loops}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    before = measure_matmul(device, dtype, seconds=_PROBE_SECONDS)
    for number in range(1, steps + _WARM_UP + 1):
        for name, step in loops.items():
            start = time.perf_counter()
            step(number)
            if device.type == "cuda":  # elsewhere nothing is left over when the host comes back
                torch.cuda.synchronize(device)
            taken[name].append(time.perf_counter() - start)
            after = measure_matmul(device, dtype, seconds=_PROBE_SECONDS)
            rates[name].append((before + after) / 2)
            before = after
    first = next(iter(taken.values()))[_WARM_UP:]
    found = {}
    for name in loops:
        measured, rate = taken[name][_WARM_UP:], rates[name][_WARM_UP:]
        seconds = statistics.median(measured)
        shares = [flops / each / then for each, then in zip(measured, rate, strict=True)]
        times = [other / each for each, other in zip(measured, first, strict=True)]
        found[name] = {
            "examples_per_second": round(examples / seconds, 2),
            "step_seconds": round(seconds, 4),
            "first_step_seconds": round(taken[name][0], 4),
            "gflops": round(flops / seconds / _GIGA, 1),
            "matmul_gflops": round(statistics.median(rate) / _GIGA, 1),
            "share_of_matmul_rate": round(statistics.median(shares), 3),
            "times_first": round(statistics.median(times), 2),
        }
    return found
