"""When a slot stops: the decision in training (with exploration) and the rules at inference.

HRM (arXiv 2506.21734, section 2.4) stops where Q_halt > Q_continue; TRM (arXiv 2510.04871, section 4.6) learns Q_halt
only and stops where it is above zero.

Shapes: B slots, L positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.data.sampling import uniforms
from thinkling.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

HaltLearning = Literal["q_learning", "halt_only"]
"""`q_learning`: HRM's halt and continue values with a bootstrapped target. `halt_only`: TRM's single value."""

HaltRuleName = Literal["q", "valid", "never"]
"""What stops a slot at inference: its Q value, the task's own validity check, or only the step limit."""

Check = Callable[[NDArray[np.integer], NDArray[np.integer]], NDArray[np.bool_]]
"""(questions [B, L], answers [B, L]) -> [B] bool: the answer is valid."""


@dataclass(frozen=True, kw_only=True)
class HaltingConfig:
    """Adaptive computation time: how slots halt in training and, by default, at inference."""

    learning: HaltLearning = "q_learning"
    """Which Q values are learned."""
    max_steps: int = 16
    """Segments after which a slot halts in any case."""
    exploration: float = 0.1
    """Probability, per slot and step in training, that halting needs a random least number of steps (2..max_steps)."""
    first_limit: int = 0
    """Limit of segments at the start of training, while the model knows too little to use more (0: `max_steps`)."""
    limit_growth: int = 0
    """Training steps after which the limit grows by one, up to `max_steps` (0: it stays at `first_limit`)."""
    threshold: float = 0.5
    """At inference: least sigmoid at which a slot may halt: of the halt value (the probability of being right), under
    q_learning of its lead over the continue value."""
    confirmations: int = 0
    """At inference: further segments in a row that must agree before a slot halts."""

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise InputError(f"max_steps {self.max_steps}", "1 or more", "set halting.max_steps")
        if not 0 <= self.exploration <= 1:
            raise InputError(f"exploration {self.exploration}", "0 to 1", "set halting.exploration")
        if not 0 < self.threshold < 1:
            raise InputError(
                f"threshold {self.threshold}", "between 0 and 1, both excluded", "set halting.threshold"
            )
        if not 0 <= self.first_limit <= self.max_steps:
            raise InputError(
                f"first_limit {self.first_limit}", f"0 to {self.max_steps}", "set halting.first_limit"
            )
        if self.limit_growth < 0:
            raise InputError(f"limit_growth {self.limit_growth}", "0 or more", "set halting.limit_growth")
        if self.confirmations < 0:
            raise InputError(f"confirmations {self.confirmations}", "0 or more", "set halting.confirmations")

    def limit_at(self, step: int) -> int:
        """Limit of segments at a training step: short at first, so that the slots see many questions."""
        if not self.first_limit:
            return self.max_steps
        grown = step // self.limit_growth if self.limit_growth else 0
        return min(self.max_steps, self.first_limit + grown)


def wants_to_halt(q_halt: Tensor, q_continue: Tensor, learning: HaltLearning) -> Tensor:
    """The decision of the Q values alone, strictly greater as in the official code. [B] bool."""
    return q_halt > (q_continue if learning == "q_learning" else 0)


def halt_in_training(
    q_halt: Tensor,
    q_continue: Tensor,
    steps: Tensor,
    least_steps: Tensor,
    *,
    learning: HaltLearning,
    limit: int,
) -> Tensor:
    """Halt where the Q values say so, but not before `least_steps` [B], and always at the limit. [B] bool."""
    willing = wants_to_halt(q_halt, q_continue, learning) & (steps >= least_steps)
    return willing | (steps >= limit)


def exploration_least_steps(
    seed: int, step: int, slots: NDArray[np.int64], *, exploration: float, limit: int
) -> NDArray[np.int64]:
    """Least number of steps of each slot at a training step: 0, or with probability `exploration` 2..limit. [B].

    Depends on (seed, step, slot) only, so it needs no saved random state and no agreement between ranks.
    """
    draws = uniforms(seed, slots + (step << 20), 2)
    explored = 2 + np.floor(draws[:, 1] * max(1, limit - 1)).astype(np.int64)
    return np.where(draws[:, 0] < exploration, explored, 0)


@dataclass(frozen=True, kw_only=True)
class HaltRule:
    """Stopping at inference. Called once a segment with what every slot says."""

    name: HaltRuleName
    """Which rule."""
    learning: HaltLearning = "halt_only"
    """Which Q values the model has learned."""
    threshold: float = 0.5
    """`q`: least probability of being right."""
    confirmations: int = 0
    """`q`: further segments in a row that must agree."""
    check: Check | None = None
    """`valid`: the task's judge."""

    def __post_init__(self) -> None:
        if self.name == "valid" and self.check is None:
            raise InputError("halting by 'valid'", "a task with a checker", "use --halt q or --halt never")

    @classmethod
    def of(cls, name: HaltRuleName, halting: HaltingConfig, check: Check | None = None) -> HaltRule:
        """The rule that a name stands for, with a model's settings.

        Raises:
            InputError: "valid" without a check.
        """
        return cls(
            name=name,
            learning=halting.learning,
            threshold=halting.threshold,
            confirmations=halting.confirmations,
            check=check if name == "valid" else None,
        )

    def willing(self, q_halt: Tensor, q_continue: Tensor, answers: Tensor, questions: Tensor) -> Tensor:
        """Slots that would stop now, confirmations aside. [B] bool."""
        if self.name == "valid":
            import torch  # here, because the rule also holds where torch is not installed

            valid = self.decide(
                q_halt, q_continue, answers=answers.cpu().numpy(), questions=questions.cpu().numpy()
            )
            return torch.from_numpy(valid).to(q_halt.device)
        wanted: Tensor = self._by_value(q_halt, q_continue)
        return wanted

    def decide(
        self, q_halt: Any, q_continue: Any, *, answers: NDArray[np.integer], questions: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """The same of arrays: Q values [B], answers and questions [B, L]. [B] bool."""
        if self.name == "valid":
            assert self.check is not None
            return self.check(questions, answers)
        wanted: NDArray[np.bool_] = self._by_value(q_halt, q_continue)
        return wanted

    @property
    def needed(self) -> int:
        """Segments in a row that must be willing before a slot stops."""
        return 1 + (self.confirmations if self.name == "q" else 0)

    def _by_value(self, q_halt: Any, q_continue: Any) -> Any:
        """Of tensors or of arrays [B]."""
        least = math.inf if self.name == "never" else math.log(self.threshold / (1 - self.threshold))
        return q_halt - (q_continue if self.learning == "q_learning" else 0) > least
