"""Learning rate: linear warm-up, then a cosine down to a share of the highest rate (HRM's schedule)."""

from __future__ import annotations

import math


def decay_factor(progress: float, min_ratio: float) -> float:
    """Share of the highest rate after `progress` (0 to 1) of the decay: a half cosine from 1 to `min_ratio`.

    Beyond 1 the cosine goes on as HRM's does; callers that can run over their end clamp `progress`
    themselves.
    """
    return min_ratio + max(0.0, (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


def learning_rate(step: int, base_lr: float, warmup: float, total: int, min_ratio: float) -> float:
    """The rate of a step. The counter is raised before the rate is looked up: the first update has step 1.

    Args:
        step: number of the update, from 1.
        base_lr: highest rate.
        warmup: steps of linear warm-up, rounded (halves to even).
        total: steps in all, warm-up included.
        min_ratio: share of `base_lr` at the end.
    """
    warmup = round(warmup)
    if step < warmup:
        return base_lr * step / max(1, warmup)
    return base_lr * decay_factor((step - warmup) / max(1, total - warmup), min_ratio)


def learning_rate_by_time(step: int, base_lr: float, warmup: float, passed: float, min_ratio: float) -> float:
    """The same with the decay driven by a clock: `passed` is the share of the time limit that is gone."""
    warm = min(1.0, step / max(1, round(warmup)))
    return base_lr * warm * decay_factor(min(1.0, passed), min_ratio)
