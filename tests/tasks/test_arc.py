"""The ARC task: notation, puzzle ids, and augmentation when an example is shown."""

import json
import time

import numpy as np
import pytest

from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.tasks.arc import Arc
from thinkling.tasks.arc_augmentation import read_name
from thinkling.tasks.arc_grid import crop, encode
from thinkling.tasks.registry import get_task

NAMES = ("<blank>", "a", "a|||t1|||0213456789", "a|||t4|||0987654321", "b", "b_t6_0132456789")


def lazy(**settings):
    return Arc(augmentations="on_the_fly", identifiers=NAMES, **settings)


def example(canvas, rows=2, columns=3):
    question = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns) % 10
    answer = (question[:1] + 1) % 10
    return question, answer, encode(question, canvas), encode(answer, canvas)


def test_sizes_and_settings():
    task = Arc()
    assert (task.vocab_size, task.seq_len, task.shape, task.has_checker) == (12, 900, (30, 30), False)
    assert task.augment_numbers == 0
    small = get_task({"name": "arc", "canvas": 8, "augmentations": "on_the_fly"}, NAMES)
    assert small.augment_numbers > 0
    assert get_task(small.settings(), NAMES).settings() == small.settings()
    for wrong in ({"canvas": 31}, {"canvas": 0}, {"augmentations": "lazy"}, {"pair_counts": "3,x"}):
        with pytest.raises(InputError):
            Arc(**wrong)


def test_questions_are_grids_in_json():
    task = Arc(canvas=3)
    tokens = task.parse(" [[0, 1], [2, 3]] ")
    assert tokens.tolist() == [2, 3, 1, 4, 5, 1, 1, 1, 0]
    assert task.format(tokens) == "[[0,1],[2,3]]"
    assert json.loads(task.format(np.zeros(9))) == []
    assert task.encode_answer("[[0,1],[2,3]]").tolist() == tokens.tolist()
    task.validate(tokens)
    assert not task.check("[[0]]", "[[0]]")
    assert not task.check_batch(tokens[None], tokens[None]).any()
    assert task.judge_batch(tokens[None], tokens[None]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123", "list of rows"),
        ("[[0,1],[2]]", "row 2"),
        ("[[0,11]]", "11 in row 1"),
        ("[[0,0,0,0]]", "at most 3 x 3"),
        ("", "JSON"),
        ("[" * 5000, "JSON"),
    ],
)
def test_malformed_questions_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Arc(canvas=3).parse(text)


def test_puzzle_ids_by_name():
    task = lazy()
    assert [task.puzzle_id(name) for name in NAMES] == list(range(6))
    assert task.puzzle_id("") == 0
    assert task.puzzle_id("a_t1_0213456789") == 2
    assert task.puzzle_id("b|||t6|||0132456789") == 5
    with pytest.raises(InputError, match="use 'a' itself"):
        task.puzzle_id("a_t0_0213456789")
    with pytest.raises(InputError, match="choose one of a, b"):
        task.puzzle_id("xyz")
    with pytest.raises(InputError, match="no named puzzles"):
        Arc().puzzle_id("a")


def test_stored_augmentations_are_left_as_they_are():
    _, _, inputs, labels = example(5)
    ids = np.array([1])
    given = Arc(canvas=5, identifiers=NAMES).augment(inputs[None], labels[None], ids, np.zeros((1, 0)))
    assert given[0][0] is not None
    assert all((a == b).all() for a, b in zip(given, (inputs[None], labels[None], ids), strict=True))


@pytest.mark.parametrize("rows", [2, 7])
def test_augmented_examples_are_what_the_new_id_says(rows):
    """Question and answer are the id's augmentation of the pair, at one shared place, with their end marks."""
    canvas, count = 7, 400
    question, answer, inputs, labels = example(canvas, rows=rows)
    task = lazy(canvas=canvas)
    ids = np.tile(np.array([1, 4], dtype=np.int32), count // 2)
    draws = uniforms(1, np.arange(count), task.augment_numbers)
    ignored = np.where(labels == 0, -100, labels.astype(np.int32))
    seen, said, new_ids = task.augment(np.tile(inputs, (count, 1)), np.tile(ignored, (count, 1)), ids, draws)
    assert (seen.dtype, said.dtype, new_ids.dtype) == (inputs.dtype, ignored.dtype, ids.dtype)
    assert set(new_ids[::2].tolist()) == {1, 2, 3}
    assert set(new_ids[1::2].tolist()) == {4, 5}
    places = set()
    for n in range(count):
        _, augmentation = read_name(NAMES[new_ids[n]])
        cells = np.argwhere(seen[n].reshape(canvas, canvas) >= 2)
        corner = cells.min(0).tolist()
        places.add((*corner, augmentation.transform))
        assert seen[n].tolist() == encode(augmentation.apply(question), canvas, *corner).tolist()
        expected = encode(augmentation.apply(answer), canvas, *corner)
        assert said[n].tolist() == np.where(expected == 0, -100, expected.astype(int)).tolist()
    assert len(places) > 10


def test_the_distribution_is_the_official_builders():
    """Each identifier alike; one pair of three stays in the corner, the others are uniform over what fits."""
    canvas, count = 4, 12_000
    _, _, inputs, labels = example(canvas, rows=2, columns=3)
    task = lazy(canvas=canvas, pair_counts="3,1")
    draws = uniforms(2, np.arange(count), task.augment_numbers)
    ids = np.full(count, 1)
    seen, _, new_ids = task.augment(np.tile(inputs, (count, 1)), np.tile(labels, (count, 1)), ids, draws)
    shares = np.bincount(new_ids, minlength=4)[1:4] / count
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)
    first = np.argmax(seen[new_ids == 1] >= 2, axis=1)
    rows, columns = np.divmod(first, canvas)
    chances = np.zeros((3, 2))
    np.add.at(chances, (rows, columns), 1 / len(first))
    expected = np.full((3, 2), 2 / 3 / 6)
    expected[0, 0] += 1 / 3
    assert chances == pytest.approx(expected, abs=0.025)
    # A task of one pair is never moved.
    seen, _, new_ids = task.augment(
        np.tile(inputs, (count, 1)), np.tile(labels, (count, 1)), np.full(count, 4), draws
    )
    assert (seen[:, 0] >= 2).all()
    with pytest.raises(InputError, match="pair_counts of 3 tasks"):
        lazy(canvas=canvas, pair_counts="1,2,3").augment(seen, seen, new_ids, draws)


def test_applying_an_identifier_keeps_the_corner():
    question, _, inputs, _ = example(6)
    task = lazy(canvas=6)
    applied = task.apply(np.tile(inputs, (5, 1)), np.arange(1, 6))
    for row, name in zip(applied, NAMES[1:], strict=True):
        assert crop(row).tolist() == read_name(name)[1].apply(question).tolist()


def test_augmentation_keeps_up_with_training():
    """Must be 20,000 examples a second on the published canvas; a third of it is asked here, for slow machines."""
    _, _, inputs, labels = example(30, rows=17, columns=20)
    task = lazy()
    batch = 64
    arguments = (np.tile(inputs, (batch, 1)), np.tile(labels, (batch, 1)), np.full(batch, 1))
    draws = uniforms(3, np.arange(batch), task.augment_numbers)
    task.augment(*arguments, draws)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        task.augment(*arguments, draws)
        best = min(best, time.perf_counter() - start)
    assert batch / best > 6_000
