"""Which examples an epoch shows, and what is held out."""

import dataclasses

import numpy as np
import pytest

from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.puzzles.examples import Examples, first_of_each, hold_out, some_of
from thinkling.puzzles.recipe import HRMRecipe
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


def rated(count: int = 100) -> PuzzleSet:
    """Puzzles in a mixed order; the first token tells how hard each is: blanks and rating grow with it."""
    hardness = np.random.default_rng(0).permutation(count)
    labels = np.full((count, 200), 200, dtype=np.uint8)
    inputs = np.where(np.arange(200) < 1 + hardness[:, None], 0, labels).astype(np.uint8)
    inputs[:, 0] = hardness
    return PuzzleSet.of_puzzles(inputs, labels, vocab_size=256, ratings=hardness, ignore_label_id=None)


def hardness_shown(items: range, curriculum: int) -> list[int]:
    examples = Examples(rated(), Sudoku(4), augment=False, curriculum=curriculum)
    return examples.items(np.array(items), seed=7).inputs[:, 0].tolist()


def test_a_curriculum_begins_with_the_easiest_and_ends_with_all() -> None:
    first = hardness_shown(range(400), curriculum=100_000)
    assert set(first) == set(range(20)) or set(first) == set(range(21))
    half = hardness_shown(range(50_000, 51_500), curriculum=100_000)
    assert 59 <= max(half) <= 61
    assert set(hardness_shown(range(100_000, 102_000), curriculum=100_000)) == set(range(100))
    assert max(hardness_shown(range(400), curriculum=0)) == 99


def test_an_item_of_a_curriculum_depends_on_itself_only() -> None:
    assert hardness_shown(range(60), 100)[17:23] == hardness_shown(range(17, 23), 100)


def test_a_curriculum_needs_no_rating_and_shows_whole_groups() -> None:
    """Groups of 1, 2 and 1 puzzles: every example of the group on show can come up, none of the others."""
    tokens = np.arange(10, dtype=np.uint8)[:, None].repeat(16, axis=1)
    labels = tokens.copy()
    labels[:3, :4] += 1  # the first group is the hardest: four cells differ
    puzzles = dataclasses.replace(grouped(), labels=labels)
    examples = Examples(puzzles, Sudoku(4), augment=False, curriculum=10**9)
    assert set(examples.items(np.arange(300), seed=3).inputs[:, 0].tolist()) == {3, 4, 5}


def test_some_puzzles_are_chosen_by_the_seed() -> None:
    whole = rated()
    some = some_of(whole, 30, seed=1)
    assert len(some) == 30
    assert np.array_equal(some.inputs, some_of(whole, 30, seed=1).inputs)
    assert not np.array_equal(some.inputs, some_of(whole, 30, seed=2).inputs)
    assert some_of(whole, 0, seed=1) is whole
    assert some_of(whole, 500, seed=1) is whole
    assert {len(some_of(grouped(), 2, seed=seed)) for seed in range(20)} == {6, 7}


@pytest.mark.parametrize("setting", ["curriculum", "train_size"])
def test_a_negative_number_of_puzzles_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} -1.*0 \\(off\\) or more.*set {setting}"):
        HRMRecipe(**{setting: -1})  # type: ignore[arg-type]  # one of two fields, both whole numbers
