"""The path of the carry in two dimensions, to be looked at.

Shapes: T segments, n values of a state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def project(states: NDArray[Any]) -> NDArray[np.float64]:
    """The first two principal components of a path of states. [T, ...] -> [T, 2]

    A state has thousands of values and a path some dozens of states, so the components come from the T x T Gram matrix
    of the centred states: with G = U S U^T the coordinates are U sqrt(S). Of each axis the largest coordinate is
    positive, which fixes the sign; an axis along which nothing moves is zero.
    """
    if len(states) == 0:
        return np.zeros((0, 2))
    flat = np.asarray(states, dtype=np.float64).reshape(len(states), -1)
    centred = flat - flat.mean(0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = values.argsort()[::-1][:2]
    spread = values[order]
    # What is smaller than rounding of the largest is rounding.
    spread = np.where(spread > 1e-12 * max(float(values.max()), 0.0), spread, 0.0)
    points = np.zeros((len(flat), 2))
    points[:, : len(order)] = vectors[:, order] * np.sqrt(spread)
    sign = np.sign(points[np.abs(points).argmax(0), np.arange(2)])
    return np.asarray(points * np.where(sign == 0, 1.0, sign))
