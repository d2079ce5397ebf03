"""Equality up to symmetry: exhaustively for 4x4, by random copies and near misses for the others."""

import itertools

import numpy as np
import pytest

from thinkling.tasks.sudoku_generator import make_candidates, random_board
from thinkling.tasks.sudoku_solver import search
from thinkling.tasks.sudoku_symmetry import (
    SymmetryIndex,
    canonical_form,
    draw_copies,
    fingerprints,
    numbers_per_copy,
    transform,
)

# The cyclic board has many symmetries that map it to itself.
CYCLIC = np.array([(row * 3 + row // 3 + column) % 9 + 1 for row in range(9) for column in range(9)])


def copies(size, grids, masks, seed=0):
    cells, relabel = draw_copies(
        size, np.random.default_rng(seed).random((len(grids), numbers_per_copy(size)))
    )
    moved = np.take_along_axis(np.asarray(grids).astype(np.int64), cells, axis=1)
    return np.take_along_axis(relabel, moved, axis=1), np.take_along_axis(masks, cells, axis=1)


def puzzles(size, count, seed=0):
    made = make_candidates(size, {4: (6, 10), 6: (14, 22), 9: (30, 50)}[size], seed, 0, count)
    return made.answers, made.questions > 0


@pytest.mark.parametrize("size", [4, 6, 9])
def test_random_copies_are_equal(size):
    grids, masks = puzzles(size, 24)
    new_grids, new_masks = copies(size, grids, masks)
    assert (fingerprints(size, grids, masks) == fingerprints(size, new_grids, new_masks)).all()
    assert (fingerprints(size, grids) == fingerprints(size, new_grids)).all()
    for row in range(len(grids)):
        assert canonical_form(size, grids[row], masks[row]) == canonical_form(
            size, new_grids[row], new_masks[row]
        )
        assert canonical_form(size, grids[row]) == canonical_form(size, new_grids[row])


@pytest.mark.parametrize("size", [4, 6, 9])
def test_near_misses_are_told_apart(size):
    """One given moved to another cell: same number of blanks, same solution, another puzzle."""
    grids, masks = puzzles(size, 24, seed=2)
    moved = masks.copy()
    random = np.random.default_rng(0)
    for mask in moved:
        mask[random.choice(np.flatnonzero(mask))] = False
        mask[random.choice(np.flatnonzero(~mask))] = True
    different = 0
    for grid, mask, other in zip(grids, masks, moved, strict=True):
        if canonical_form(size, grid, mask) != canonical_form(size, grid, other):
            different += 1
        else:  # a self-symmetry of the board can carry one mask to the other; then the invariant agrees too
            prints = fingerprints(size, np.stack([grid, grid]), np.stack([mask, other]))
            assert prints[0] == prints[1]
    assert different >= (12 if size == 4 else 22)


@pytest.mark.parametrize("blanks", [1, 2, 40])
def test_boards_with_many_self_symmetries(blanks):
    random = np.random.default_rng(blanks)
    masks = np.ones((12, 81), dtype=bool)
    for mask in masks:
        mask[random.choice(81, blanks, replace=False)] = False
    grids = np.repeat(CYCLIC[None], 12, axis=0)
    new_grids, new_masks = copies(9, grids, masks, seed=blanks)
    assert (fingerprints(9, grids, masks) == fingerprints(9, new_grids, new_masks)).all()
    for row in range(12):
        assert canonical_form(9, grids[row], masks[row]) == canonical_form(9, new_grids[row], new_masks[row])
    forms = {canonical_form(9, grids[row], masks[row]) for row in range(12)}
    # Fewer kinds of missing cell than cells: the self-symmetries carry one to the other.
    assert 1 <= len(forms) <= 4 if blanks == 1 else len(forms) > 1


def all_symmetries_of_four():
    lines = [
        list(a + b)
        for first in ((0, 1), (2, 3))
        for a in itertools.permutations(first)
        for b in itertools.permutations({0, 1, 2, 3} - set(first))
    ]
    return [
        (flip, np.array(rows), np.array(columns))
        for flip in (False, True)
        for rows in lines
        for columns in lines
    ]


def test_exhaustively_on_four():
    """All 288 boards fall into the 2 known classes; puzzles are equal exactly where a search through all
    symmetries finds one."""
    boards = np.array(search(4, [0] * 16, 1000).solutions)
    assert len({canonical_form(4, board) for board in boards}) == 2
    firsts = SymmetryIndex(4, with_masks=False).add(boards)
    assert len(set(firsts.tolist())) == 2

    def orbit(board, mask):
        found = set()
        for flip, rows, columns in all_symmetries_of_four():
            arguments = {"transposed": flip, "row_perm": rows, "col_perm": columns, "digit_map": np.arange(5)}
            grid = transform(board.reshape(4, 4), **arguments).reshape(-1)
            names = {digit: number for number, digit in enumerate(dict.fromkeys(grid.tolist()))}
            given = transform(mask.reshape(4, 4).astype(int), **arguments).reshape(-1)
            found.add((tuple(names[digit] for digit in grid.tolist()), tuple(given.tolist())))
        return min(found)

    random = np.random.default_rng(0)
    rows = random.integers(288, size=60)
    masks = np.zeros((60, 16), dtype=bool)
    for mask in masks:
        mask[random.choice(16, 2, replace=False)] = True
    orbits = [orbit(boards[row], mask) for row, mask in zip(rows, masks, strict=True)]
    expected = [orbits.index(own) for own in orbits]
    assert SymmetryIndex(4, with_masks=True).add(boards[rows], masks).tolist() == expected
    assert len(set(expected)) < 60


def test_classes_of_six():
    """No more than the 49 known classes of 6x6 boards come out of many random ones."""
    draws = np.random.default_rng(0).random((400, 36, 6))
    boards = np.array([random_board(6, numbers) for numbers in draws])
    forms = {canonical_form(6, board) for board in boards}
    assert 25 <= len(forms) <= 49
    assert len(set(fingerprints(6, boards).tolist())) <= len(forms)


def test_six_may_not_be_transposed():
    """Transposing a 6x6 board tears its boxes apart: copies never do it."""
    cells, _ = draw_copies(6, np.random.default_rng(0).random((200, numbers_per_copy(6))))
    rows = cells.reshape(200, 6, 6) // 6
    assert (rows == rows[:, :, :1]).all()


def test_index_numbers_boards_over_several_calls():
    grids, masks = puzzles(9, 10)
    new_grids, new_masks = copies(9, grids, masks)
    index = SymmetryIndex(9, with_masks=True)
    assert index.add(grids, masks).tolist() == list(range(10))
    assert index.add(new_grids[::-1], new_masks[::-1]).tolist() == list(range(9, -1, -1))
    assert index.add(grids[:0], masks[:0]).shape == (0,)
    other = masks.copy()
    other[:, 0] ^= True
    assert (index.add(grids, other) >= 20).all()


def test_copies_reach_every_arrangement():
    """Each of the 8 * 8 * 2 arrangements of a 4x4 board comes out about equally often."""
    cells, relabel = draw_copies(4, np.random.default_rng(0).random((12800, numbers_per_copy(4))))
    _, counts = np.unique(cells, axis=0, return_counts=True)
    assert len(counts) == 128
    assert counts.min() > 50
    assert counts.max() < 160
    assert len(np.unique(relabel, axis=0)) == 24
