"""The eight symmetries, numbered as the official builders number them."""

import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.tasks.dihedral import INVERSE, SHAPE_KEEPING, dihedral, dihedral_cells

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/dihedral.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("golden", GOLDEN["transforms"], ids=lambda golden: f"transform {golden['id']}")
@pytest.mark.parametrize("shape", ["square", "oblong"])
def test_transforms_and_inverses_equal_the_official_ones(golden, shape):
    grid, t = np.array(GOLDEN[shape]), golden["id"]
    moved = dihedral(grid, t)
    assert moved.tolist() == golden[f"of_{shape}"]
    assert golden["inverse_id"] == INVERSE[t]
    assert dihedral(grid, INVERSE[t]).tolist() == golden[f"inverse_of_{shape}"]
    assert dihedral(moved, INVERSE[t]).tolist() == grid.tolist()
    assert grid.reshape(-1)[dihedral_cells(*grid.shape, t)].tolist() == moved.reshape(-1).tolist()


def test_the_transforms_that_keep_an_oblong_shape():
    oblong = np.zeros((2, 3))
    assert [t for t in range(8) if dihedral(oblong, t).shape == (2, 3)] == list(SHAPE_KEEPING)


def test_cells_are_shared_and_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        dihedral_cells(3, 3, 1)[0] = 1
