"""Metrics as sums and counts, added over steps, then over ranks, and divided once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thinkling.training.distributed import added_over_ranks


class MetricSums:
    """Running sums of (sum, count) pairs since the last `reduced`, kept on the device until then."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Add one step's pairs of scalars."""
        for name, (total, count) in metrics.items():
            pair = torch.stack([total.detach().double(), count.detach().double().to(total.device)])
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def reduced(self) -> dict[str, float]:
        """Means over steps and ranks since the last call, without what counted nothing. Collective."""
        names = list(self._sums)
        # Read together: every read waits for the device.
        pairs = torch.cat([self._sums[name] for name in names]).tolist() if names else []
        self._sums = {}
        totals = added_over_ranks(pairs, self._device)
        both = zip(names, totals[::2], totals[1::2], strict=True)
        return {name: total / count for name, total, count in both if count}
