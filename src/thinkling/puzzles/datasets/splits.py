"""How many examples of a data set, which of them are for testing, and which are left out.

Shapes: N rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError


def check_counts(train: int, test: int, seed: int, processes: int) -> None:
    """InputError unless these can be the settings of a data set."""
    for name, value, least in (("train", train, 1), ("test", test, 0), ("processes", processes, 1)):
        if value < least:
            raise InputError(f"--{name} {value}", f"{least} or more", "give a larger number")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}", "0 to 4294967295", "give another seed")


def first_classes(classes: NDArray[np.int64], chance: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Marks whole classes, in the order of their chances, until the share of all rows is reached. [N]"""
    wanted = round(share * len(classes))
    names, counts = np.unique(classes, return_counts=True)
    order = chance[names].argsort()
    before = counts[order].cumsum() - counts[order]
    return np.isin(classes, names[order][before < wanted])


def without_leaks(
    same: NDArray[np.int64], shared: NDArray[np.int64], for_test: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which rows are kept [N], and how many are left out and why.

    A training row that gives away a test row is an overlap; one equal to another of its split a duplicate.

    Args:
        same: [N] the first row equal to each up to symmetry.
        shared: [N] the first row with which each shares what splits must not share.
        for_test: [N] the test rows.
    """
    first = same == np.arange(len(same))
    leaking = ~for_test & np.isin(shared, shared[for_test])
    left_out = {"duplicates": int((~first & ~leaking).sum()), "overlap": int(leaking.sum())}
    return first & ~leaking, left_out
