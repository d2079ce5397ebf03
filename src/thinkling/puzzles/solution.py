"""What comes out for one question, whatever has solved it: a run, or an exported .onnx file without torch.

Shapes: L positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from thinkling.thinking.trace import SegmentTrace

Status = Literal["verified", "unverified", "unsolved"]
"""`verified`: the task's checker accepts the answer; `unsolved`: it does not; `unverified`: there is no checker."""

SolvedBy = Literal["network", "breadth", "search"]
"""Whose the verified answer is: the network's to the question itself, another chain's, or a search's."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What came out for one question."""

    question: str
    """The question as asked."""
    answer: str
    """The model's answer."""
    tokens: NDArray[np.int64]
    """[L] the answer as tokens."""
    status: Status
    """What the task's checker says of it."""
    steps: int
    """Segments of the chain that answers."""
    q_halt: float
    """Probability of being right, by the model's own halt value."""
    trace: tuple[SegmentTrace, ...]
    """One entry a segment; empty where not asked for."""
    solved_by: SolvedBy | None = None
    """Whose the answer is; None where it is not verified."""
    samples: int = 1
    """Chains that the question was allowed."""
    segments: int
    """Segments of all chains together."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys of `thinkling solve`, and who has solved it at what cost."""
        return {
            "answer": self.answer,
            "status": self.status,
            "steps": self.steps,
            "q_halt": self.q_halt,
            "solved_by": self.solved_by,
            "samples": self.samples,
            "segments": self.segments,
        }
