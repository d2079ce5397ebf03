"""What a slot thought, segment by segment: for `--trace`, `--watch` and pictures.

Shapes: B slots, L positions, S = P + L positions with the puzzle prefix, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.thinking.carry import Carry, SegmentOutput


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

    @classmethod
    def of(cls, before: Carry, after: Carry, output: SegmentOutput) -> list[SegmentTrace]:
        """The entries of all B slots for the segment that led from `before` to `after`."""
        with torch.no_grad():
            confidence, tokens = torch.softmax(output.logits.float(), dim=-1).max(dim=-1)
            new = after.z_H.float()
            change = (new - before.z_H.float()).flatten(1).norm(dim=1) / new.flatten(1).norm(dim=1).clamp(
                min=1e-12
            )
            halts, continues = torch.sigmoid(output.q_halt), torch.sigmoid(output.q_continue)
        return [
            cls(
                tokens=tokens[slot].cpu().numpy(),
                confidence=confidence[slot].cpu().numpy(),
                q_halt=float(halts[slot]),
                q_continue=float(continues[slot]),
                residual=float(change[slot]),
            )
            for slot in range(len(tokens))
        ]

    def as_json(self) -> dict[str, Any]:
        """The entry with lists in place of arrays, confidence to four places."""
        return {
            "tokens": self.tokens.tolist(),
            "confidence": [round(float(value), 4) for value in self.confidence],
            "q_halt": self.q_halt,
            "q_continue": self.q_continue,
            "residual": self.residual,
        }
