"""What a slot thought, segment by segment: for `--trace`, `--watch` and pictures.

Shapes: B slots, L positions, S = P + L positions with the puzzle prefix, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SegmentTrace:
    """One segment of one slot."""

    tokens: NDArray[np.int64]
    """[L] answer after the segment."""
    confidence: NDArray[np.float32]
    """[L] probability of each answered token."""
    q_halt: float
    """Probability of being right, by the halt value."""
    q_continue: float
    """The continue value as a probability."""
    residual: float
    """Relative change of the high-level state: |z_H' - z_H| / |z_H'|."""
    z_H: NDArray[np.float16] | None = None
    """[S, D] high-level state after the segment, where asked for."""

    def as_json(self) -> dict[str, Any]:
        """The entry with lists in place of arrays, confidence to four places."""
        return {
            "tokens": self.tokens.tolist(),
            "confidence": [round(float(value), 4) for value in self.confidence],
            "q_halt": self.q_halt,
            "q_continue": self.q_continue,
            "residual": self.residual,
        }
