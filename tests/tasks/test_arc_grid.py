"""ARC grids as sequences, equal to the official builder's and evaluator's."""

import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.arc_grid import (
    Placement,
    canvas_of,
    crop,
    crop_sizes,
    encode,
    grid_hash,
    place,
    puzzle_hash,
    read_grid,
)
from thinkling.tasks.dihedral import dihedral

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/arc.json").read_text(encoding="utf-8"))


def test_sequences_equal_the_official_ones():
    for case in GOLDEN["grid_to_seq"]:
        for side in ("input", "output"):
            grid = read_grid(case[side])
            assert encode(grid).tolist() == case[f"{side}_seq"]
            assert crop(encode(grid)).tolist() == case[side]


def test_moved_sequences_equal_the_official_ones():
    for case in GOLDEN["translated"]:
        for side in ("input", "output"):
            moved = encode(
                read_grid(case[side]), row_offset=case["row_offset"], column_offset=case["col_offset"]
            )
            assert moved.tolist() == case[f"{side}_seq"]


def test_hashes_equal_the_official_ones():
    for case in GOLDEN["grid_hash"]:
        assert grid_hash(read_grid(case["grid"])) == case["sha256"]
    for case in GOLDEN["puzzle_hash"]:
        pairs = {
            (one["split"], one["index"]): (read_grid(one["input"]), read_grid(one["output"]))
            for one in GOLDEN["grid_to_seq"]
            if one["task"] == case["task"]
        }
        assert puzzle_hash(pairs.values()) == case["sha256"]


@pytest.mark.parametrize("case", GOLDEN["crop"], ids=lambda case: case["note"])
def test_crops_equal_the_official_ones(case):
    grid = crop(np.array(case["seq"]))
    assert list(grid.shape) == case["shape"]
    assert grid.tolist() == case["grid"]


def test_many_crops_equal_single_ones():
    tokens = np.array([case["seq"] for case in GOLDEN["crop"]], dtype=np.uint8)
    rows, columns = crop_sizes(tokens)
    assert [[r, c] for r, c in zip(rows, columns, strict=True)] == [case["shape"] for case in GOLDEN["crop"]]


@pytest.mark.parametrize("t", range(8))
def test_placing_equals_transforming_and_encoding(t):
    generator = np.random.default_rng(t)
    canvas, table = 9, np.concatenate([[[0, 1]], 2 + generator.permutation(10)[None]], axis=1).repeat(6, 0)
    grids, tokens, offsets = [], [], []
    for rows, columns in ((1, 1), (2, 5), (5, 2), (9, 9), (9, 1), (3, 3)):
        grid = generator.integers(0, 10, (rows, columns), dtype=np.uint8)
        turned = dihedral(grid, t)
        grids.append(grid)
        tokens.append(encode(grid, canvas))
        offsets.append([generator.integers(0, canvas + 1 - side) for side in turned.shape])
    rows, columns = np.array([grid.shape for grid in grids]).T
    row_offsets, column_offsets = np.array(offsets).T
    placement = Placement(transforms=np.full(6, t), row_offsets=row_offsets, column_offsets=column_offsets)
    placed = place(np.array(tokens), (rows, columns), placement, table)
    ignored = place(np.array(tokens, dtype=np.int32), (rows, columns), placement, table, -100)
    for n, grid in enumerate(grids):
        mapped = (table[n, 2:] - 2).astype(np.uint8)[grid]
        expected = encode(dihedral(mapped, t), canvas, *offsets[n])
        assert placed[n].tolist() == expected.tolist()
        assert ignored[n].tolist() == np.where(expected == 0, -100, expected.astype(int)).tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 1], [2]], "row 2 has 1 cells, row 1 has 2"),
        ([[0, 10]], "10 in row 1, column 2"),
        ([[0], [-1]], "-1 in row 2"),
        ([[True]], "True in row 1"),
        ([[1.0]], "1.0 in row 1"),
        ([], "without rows"),
        ([[]], "row 1 is empty"),
        ({}, "list of rows"),
        ([1], "row 1 is 1"),
        ([[0] * 31], "1 x 31"),
        ([[0]] * 31, "31 x 1"),
    ],
)
def test_bad_grids_are_refused_by_row(rows, message):
    with pytest.raises(InputError, match=message):
        read_grid(rows)


def test_a_length_that_is_no_square_is_refused():
    assert canvas_of(900) == 30
    with pytest.raises(InputError, match="square"):
        canvas_of(899)
