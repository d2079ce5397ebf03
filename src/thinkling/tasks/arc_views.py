"""Views of an ARC question: the grid in other augmentations, and the way back of the answers.

An answer may have another size than its question, and what a model says need not be a grid at all: only the rectangle
of colours at the top left corner goes back.

Shapes: N views, S canvas, L = S * S cells in row-major order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.arc_augmentation import Augmentation
from thinkling.tasks.arc_grid import PAD, canvas_of, crop, encode
from thinkling.tasks.dihedral import INVERSE, dihedral
from thinkling.tasks.views import Views


def canvas_views(
    inputs: NDArray[Any], puzzle_ids: NDArray[Any], here: Augmentation, there: Sequence[Augmentation]
) -> Views:
    """A question as it would look in other augmentations of its task.

    Args:
        inputs: [N, L] the question, N times, its grid at the top left corner.
        puzzle_ids: [N] the id of each view.
        here: the augmentation that the question is in.
        there: [N] those of the views; the first is `here`.
    """
    canvas = canvas_of(inputs.shape[1])
    plain = here.undo(crop(inputs[0]))
    views = [inputs[0], *(encode(other.apply(plain), canvas) for other in there[1:])]

    def undo(number: int, answer: NDArray[Any]) -> NDArray[Any]:
        if number == 0:
            return answer
        grid = crop(answer)
        if grid.size == 0:
            return np.full_like(answer, PAD)
        return encode(here.apply(there[number].undo(grid)), canvas).astype(answer.dtype)

    def undo_places(number: int, answer: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
        rows, columns = crop(answer).shape
        if number == 0 or rows == 0:
            return values
        square = values.reshape(canvas, canvas)
        turned = dihedral(dihedral(square[:rows, :columns], INVERSE[there[number].transform]), here.transform)
        # What lies outside the grid has no place to go to; it is as sure as its average.
        outside = np.ones((canvas, canvas), dtype=np.bool_)
        outside[:rows, :columns] = False
        moved = np.full_like(square, square[outside].mean() if outside.any() else 0)
        moved[: turned.shape[0], : turned.shape[1]] = turned
        return moved.reshape(-1)

    return Views(
        inputs=np.stack(views).astype(inputs.dtype),
        puzzle_ids=puzzle_ids,
        undo=undo,
        undo_places=undo_places,
    )
