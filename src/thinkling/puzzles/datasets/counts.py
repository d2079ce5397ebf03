"""How many examples of a data set, and which of them are for testing."""

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
