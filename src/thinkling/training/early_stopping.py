"""When held-out results no longer get better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Plateau:
    """How long the best validation has been the best one (patience, Prechelt 1998, "Early stopping: but when?")."""

    best: float | None = None
    """The result that has to be beaten; None before the first validation."""
    validations: int = 0
    """Validations since then that did not beat it."""

    def judge(self, result: float, min_gain: float) -> None:
        """Take a validation into account.

        Args:
            result: the metric that chooses the best weights; higher is better.
            min_gain: how much better than the best one it must be; smaller gains add up until they reach it.
        """
        if self.best is None or result > self.best + min_gain:
            self.best, self.validations = result, 0
        else:
            self.validations += 1
