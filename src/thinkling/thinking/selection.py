"""Which chain of a question to believe.

Shapes: K chains, L positions.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError

Select = Literal["q", "vote", "residual", "first", "valid"]
"""`q`: the best halt value. `vote`: the answer most chains give. `residual`: the state that changed least in its last
segment. `first`: the chain that the stopping rule stopped. `valid`: an answer that the task's checker accepts."""


def choose(
    select: Select,
    *,
    answers: NDArray[np.integer],
    q_halt: NDArray[np.floating],
    residual: NDArray[np.floating],
    halted: NDArray[np.bool_],
    valid: NDArray[np.bool_] | None = None,
) -> int:
    """The number of the chain to believe; of equal ones the first, so that chain 0 wins over its copies.

    Args:
        select: by what.
        answers: [K, L] of the chains, mapped back to the question's own places and tokens.
        q_halt: [K] probabilities of being right, by the model's own halt value.
        residual: [K] relative changes of the high-level state.
        halted: [K] whether the stopping rule stopped the chain. Where it stopped none, `first` is `q`.
        valid: [K] what the task's checker says; needed by `valid`. Where it accepts none, `valid` is `q`.

    Raises:
        InputError: `valid` of a task without a checker.
    """
    if select == "residual":
        return int(residual.argmin())
    if select == "vote":
        return _by_vote(answers, q_halt)
    wanted = halted
    if select == "valid":
        if valid is None:
            raise InputError(
                "--select valid for a task without a checker", "q, vote, residual, first", "use --select q"
            )
        wanted = valid
    if select == "q" or not wanted.any():
        return int(q_halt.argmax())
    return int(wanted.argmax())


def _by_vote(answers: NDArray[np.integer], q_halt: NDArray[np.floating]) -> int:
    """Of the answer given most often (of several such the one with the most trust, added up) the most trusted chain."""
    _, first, which = np.unique(answers, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    counts = np.bincount(which)
    trust = np.bincount(which, weights=q_halt)
    best = min(range(len(counts)), key=lambda number: (-counts[number], -trust[number], first[number]))
    return int(np.where(which == best, q_halt, -np.inf).argmax())
