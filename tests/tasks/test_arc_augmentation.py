"""ARC's augmentations: names, inverses, and which of them are different."""

import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.tasks.arc_augmentation import (
    IDENTITY,
    Augmentation,
    NamedAugmentations,
    distinct_augmentations,
    read_name,
)
from thinkling.tasks.arc_grid import puzzle_hash

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/arc.json").read_text(encoding="utf-8"))


def test_augmented_grids_and_names_equal_the_official_ones():
    for case in GOLDEN["augment"]:
        task, augmentation = read_name(case["name"])
        assert (task, augmentation.transform) == (case["task"], case["transform"])
        assert augmentation.name(task) == case["name"]
        grid = np.array(case["grid"], dtype=np.uint8)
        assert augmentation.apply(grid).tolist() == case["augmented"]
        assert augmentation.undo(augmentation.apply(grid)).tolist() == case["grid"]


def test_inverses_by_name_equal_the_official_ones():
    for case in GOLDEN["inverse_naming"]:
        task, augmentation = read_name(case["name"])
        assert task == case["original"]
        assert augmentation.undo(np.array(case["grid"], dtype=np.uint8)).tolist() == case["restored"]


@pytest.mark.parametrize(
    ("name", "task", "augmentation"),
    [
        ("007bbfb7_t3_0213456789", "007bbfb7", Augmentation(3, "0213456789")),
        ("a_t1_b_t7_0987654321", "a_t1_b", Augmentation(7, "0987654321")),
        ("a_t8_0123456789", "a_t8_0123456789", IDENTITY),
        ("a_t1_0113456789", "a_t1_0113456789", IDENTITY),
        ("a_t1", "a_t1", IDENTITY),
    ],
)
def test_names_in_the_form_of_hrm(name, task, augmentation):
    assert read_name(name) == (task, augmentation)


def test_the_ids_of_a_task_are_found_by_their_place():
    names = NamedAugmentations(
        ["<blank>", "a", "a|||t1|||0213456789", "b", "a|||t2|||0123456789", "b_t7_0987654321"]
    )
    assert names.tasks == ["a", "b"]
    assert names.task_of.tolist() == [-1, 0, 0, 1, 0, 1]
    assert names.counts.tolist() == [3, 2]
    tasks = np.array([0, 0, 0, 1, 1])
    assert names.ids(tasks, np.array([0, 1, 2, 0, 1])).tolist() == [1, 2, 4, 3, 5]
    assert names.transforms.tolist() == [0, 0, 1, 0, 2, 7]
    for number in range(6):
        assert names.colour_maps[number][names.inverse_colour_maps[number]].tolist() == list(range(10))
    assert names.inverse_transforms.tolist() == [0, 0, 3, 0, 2, 7]


def pairs_of(*grids):
    return [(np.array(grid, dtype=np.uint8), np.array(grid, dtype=np.uint8)) for grid in grids]


@pytest.mark.parametrize(
    "pairs",
    [
        pairs_of([[0, 0], [0, 0]]),
        pairs_of([[1]]),
        pairs_of([[1, 2]], [[2, 1]]),
        pairs_of([[1, 0, 2]], [[1], [0], [2]]),
        [(np.array([[0, 3], [3, 0]], dtype=np.uint8), np.array([[5]], dtype=np.uint8))],
    ],
)
def test_augmentations_are_distinct_exactly_as_the_official_builder_tells(pairs):
    """Many augmentations make the same puzzle here; the fast hash must keep what SHA-256 of the puzzles keeps."""
    chosen = distinct_augmentations("task", pairs, 60, seed=3)
    made = [IDENTITY, *chosen]
    hashes = {puzzle_hash((one.apply(a), one.apply(b)) for a, b in pairs) for one in made}
    assert len(hashes) == len(made)
    # Nothing new was passed over: all that 300 trials of the same stream make is there.
    more = distinct_augmentations("task", pairs, 3000, seed=3)
    assert more[: len(chosen)] == chosen
    if len(chosen) < 60:
        assert more == chosen or len(more) > len(chosen)


def test_a_task_of_black_grids_has_no_augmentation_and_colours_permute_only_where_they_occur():
    assert distinct_augmentations("task", pairs_of([[0, 0], [0, 0]]), 10, seed=0) == []
    assert len(distinct_augmentations("task", pairs_of([[1]]), 100, seed=0)) == 8
    # One row of two colours: 9 * 8 colourings, two directions; each equals another one turned by 180 degrees.
    assert len(distinct_augmentations("task", pairs_of([[1, 2]]), 2000, seed=0)) == 2 * 72 - 1


def test_draws_depend_on_seed_and_task_only():
    pairs = pairs_of([[1, 2, 3], [4, 5, 6]])
    first = distinct_augmentations("task", pairs, 50, seed=1)
    assert len(first) == 50
    assert distinct_augmentations("task", pairs, 20, seed=1) == first[:20]
    assert distinct_augmentations("other", pairs, 50, seed=1) != first
    assert distinct_augmentations("task", pairs, 50, seed=2) != first
    assert all(one.colours[0] == "0" for one in first)
    assert {one.transform for one in distinct_augmentations("task", pairs, 200, seed=1)} == set(range(8))
