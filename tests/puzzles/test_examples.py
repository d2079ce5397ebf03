"""Which examples an epoch shows, and what is held out."""

import dataclasses

import numpy as np
import pytest

from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.puzzles.examples import Examples, first_of_each, hold_out
from thinkling.tasks.sudoku import Sudoku


def grouped() -> PuzzleSet:
    """Groups of 1, 2 and 1 puzzles; puzzles of 3, 2, 1 and 4 examples; the first token tells the example."""
    count = 10
    tokens = np.arange(count, dtype=np.uint8)[:, None].repeat(16, axis=1)
    puzzles = PuzzleSet.of_puzzles(tokens, tokens, vocab_size=99, ignore_label_id=None)
    return dataclasses.replace(
        puzzles,
        puzzle_identifiers=np.arange(4, dtype=np.int32),
        puzzle_indices=np.array([0, 3, 5, 6, 10], dtype=np.int32),
        group_indices=np.array([0, 1, 3, 4], dtype=np.int32),
        puzzle_ids=np.repeat(np.arange(4), [3, 2, 1, 4]).astype(np.int32),
    )


def shown(items: range) -> list[int]:
    batch = Examples(grouped(), Sudoku(4), augment=False).items(np.array(items), seed=3)
    return batch.inputs[:, 0].tolist()


def test_an_epoch_shows_every_pair_of_one_puzzle_of_each_group() -> None:
    for epoch in range(5):
        seen = shown(range(9 * epoch, 9 * epoch + 9))
        assert sorted(row for row in seen if row < 3) == [0, 1, 2]
        assert sorted(row for row in seen if row > 5) == [6, 7, 8, 9]
        assert len([row for row in seen if 3 <= row <= 5]) == 2
    assert {row for row in shown(range(900)) if 3 <= row <= 5} == {3, 4, 5}


def test_an_item_depends_on_itself_only() -> None:
    assert shown(range(40))[17:23] == shown(range(17, 23))


def test_what_is_held_out_is_whole_groups() -> None:
    tokens = np.arange(10, dtype=np.uint8)[:, None].repeat(16, axis=1)
    puzzles = PuzzleSet.of_puzzles(tokens, tokens, vocab_size=99, ignore_label_id=None)
    rest, held_out = hold_out(puzzles, 500)
    assert (rest.inputs[:, 0].tolist(), held_out.inputs[:, 0].tolist()) == ([*range(8)], [8, 9])
    with pytest.raises(InputError, match="at least 5"):
        hold_out(grouped(), 500)


def test_the_first_puzzle_of_each_group() -> None:
    assert first_of_each(grouped()).inputs[:, 0].tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert first_of_each(grouped(), most=1).inputs[:, 0].tolist() == [0, 1, 2]
