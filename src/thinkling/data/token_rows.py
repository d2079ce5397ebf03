"""Rows of tokens to learn from: what is read at each place, and what is asked there.

Shapes: K rows, L positions of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""The label of a position at which nothing is asked."""


@dataclass(frozen=True, kw_only=True)
class TokenRows:
    """Rows for next-token training."""

    inputs: NDArray[np.int64]
    """[K, L] the token at each position."""
    labels: NDArray[np.int64]
    """[K, L] the token that follows it; IGNORED where nothing is asked."""
    documents: NDArray[np.int64]
    """[K, L] which text of its row a position belongs to: 1, 2, …; 0 at padding."""


class RowSource(Protocol):
    """Where training rows come from."""

    def rows(self, step: int, part: slice, of: int) -> TokenRows:
        """Some of the rows of a step; a function of these arguments and of the source's seed only.

        Args:
            step: number of the step, from 1.
            part: which of the step's rows.
            of: rows of the whole step.
        """
        ...
