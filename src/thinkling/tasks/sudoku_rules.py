"""The rules of Sudoku for a search: naked and hidden singles, and nothing cleverer.

Shapes: n size, L = n * n cells, V = n + 2 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.sudoku_geometry import geometry
from thinkling.tasks.sudoku_solver import digits_to_masks, propagate

Masks = tuple[int, ...]
"""[L] bit masks: bit d - 1 of a cell says that digit d is still possible. Singles have been propagated."""

_FIRST_DIGIT = 2
"""The token of digit 1."""


class SudokuRules:
    """`SearchRules` of a board of one size; a state holds the candidates of each cell.

    Args:
        size: n.
    """

    def __init__(self, size: int) -> None:
        self._board = geometry(size)
        self._digits = np.arange(size)

    def start(self, question: NDArray[Any]) -> Masks | None:
        """What the givens [L] leave; None where they contradict each other."""
        digits = [max(int(token) - 1, 0) for token in question]
        masks, fresh = digits_to_masks(self._board, digits)
        return tuple(masks) if propagate(self._board, masks, fresh) else None

    def fix(self, state: Masks, cell: int, token: int) -> Masks | None:
        """The state with a digit set; None on a contradiction."""
        return self._changed(state, cell, lambda mask, bit: mask & bit, token)

    def forbid(self, state: Masks, cell: int, token: int) -> Masks | None:
        """The state without a digit in a cell; None on a contradiction."""
        return self._changed(state, cell, lambda mask, bit: mask & ~bit, token)

    def candidates(self, state: Masks) -> NDArray[np.bool_]:
        """The digits that are possible: [L, V]."""
        masks = np.array(state, dtype=np.int64)
        possible = np.zeros((self._board.cells, self._board.size + _FIRST_DIGIT), dtype=np.bool_)
        possible[:, _FIRST_DIGIT:] = (masks[:, None] >> self._digits) & 1
        return possible

    def shown(self, question: NDArray[Any], state: Masks) -> NDArray[np.int64]:
        """The puzzle [L] with every digit that is settled filled in."""
        masks = np.array(state, dtype=np.int64)
        settled = (masks & (masks - 1)) == 0
        digits = np.array([mask.bit_length() for mask in state], dtype=np.int64)
        return np.where(settled, digits + 1, np.asarray(question)).astype(np.int64)

    def read(self, question: NDArray[Any], state: Masks, answer: NDArray[Any]) -> NDArray[np.int64]:
        """The answer as it is: a filled board answers the puzzle, too."""
        return np.asarray(answer, dtype=np.int64)

    def _changed(
        self, state: Masks, cell: int, change: Callable[[int, int], int], token: int
    ) -> Masks | None:
        bit = 1 << (token - _FIRST_DIGIT) if token >= _FIRST_DIGIT else 0
        mask = change(state[cell], bit)
        if not mask:
            return None
        if mask == state[cell]:
            return state
        masks = list(state)
        masks[cell] = mask
        fresh = [] if mask & (mask - 1) else [cell]
        return tuple(masks) if propagate(self._board, masks, fresh) else None
