"""Views: symmetric copies of a question with the way back for their answers.

Number 0 is always the question itself. A model that is not exactly symmetric thinks differently about each view, so the
views are what chains can differ by.

Shapes: N views of a question, L positions, V vocabulary, M answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Undo = Callable[[int, NDArray[Any]], NDArray[Any]]
"""(number of a view, its answer [L]) -> the answer [L] to the question itself."""

UndoPlaces = Callable[[int, NDArray[Any], NDArray[Any]], NDArray[Any]]
"""(number of a view, its answer [L], a value of each position [L]) -> the values [L] where the answer's cells are."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """Symmetric copies of one question."""

    inputs: NDArray[Any]
    """[N, L] tokens of the question in each view."""
    puzzle_ids: NDArray[Any]
    """[N] the puzzle id of each view."""
    undo: Undo
    """The way back of one answer."""
    undo_places: UndoPlaces
    """The way back of values that belong to the cells of one answer, such as confidences."""

    def __len__(self) -> int:
        return len(self.inputs)

    def back(self, answers: NDArray[Any]) -> NDArray[Any]:
        """An answer from each view, in the original's places and tokens. [N, L] -> [N, L]"""
        return np.stack([self.undo(number, answer) for number, answer in enumerate(answers)])


def moved(
    inputs: NDArray[Any],
    puzzle_ids: NDArray[Any],
    cells: NDArray[np.intp],
    relabel: NDArray[Any] | None = None,
) -> Views:
    """Views that move cells and rename tokens.

    Args:
        inputs: [N, L] the question, N times.
        puzzle_ids: [N] its puzzle id.
        cells: [N, L] where each cell of a view comes from; row 0 is replaced by the identity.
        relabel: [N, V] what each token becomes, a permutation; row 0 is replaced by the identity.
    """
    cells = cells.copy()
    cells[0] = np.arange(inputs.shape[1])
    taken = np.take_along_axis(inputs, cells, axis=1)
    way_back = cells.argsort(1)
    old = None
    if relabel is not None:
        relabel = relabel.copy()
        relabel[0] = np.arange(relabel.shape[1])
        old = relabel.argsort(1)
        taken = np.take_along_axis(relabel, taken.astype(np.intp), axis=1).astype(inputs.dtype)

    def undo(number: int, answer: NDArray[Any]) -> NDArray[Any]:
        back: NDArray[Any] = answer[way_back[number]]
        return back if old is None else np.asarray(old[number][back], dtype=answer.dtype)

    return Views(
        inputs=taken,
        puzzle_ids=puzzle_ids,
        undo=undo,
        undo_places=lambda number, answer, values: values[way_back[number]],
    )


def unchanged(inputs: NDArray[Any], puzzle_ids: NDArray[Any]) -> Views:
    """The question itself, N times."""
    return Views(
        inputs=inputs,
        puzzle_ids=puzzle_ids,
        undo=lambda number, answer: answer,
        undo_places=lambda number, answer, values: values,
    )
