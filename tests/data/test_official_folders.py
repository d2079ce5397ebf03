"""Folders of the official ARC and maze builders: recognised, read and written byte for byte."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from thinkling.data.array_store import SPLITS, read_dataset, write_dataset
from thinkling.data.puzzle_set import official_task

GOLDEN = Path(__file__).parents[1] / "golden"
MINI_ARC = GOLDEN / "mini_arc"


def official_mazes(folder: Path) -> Path:
    """The folder that the official builder writes for the two golden mazes."""
    golden = json.loads((GOLDEN / "data/maze.json").read_text(encoding="utf-8"))
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        (folder / split / "dataset.json").write_text(json.dumps(golden["metadata"][split]))
        for name in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"):
            array = np.array(golden["arrays"][f"{split}_{name}"], dtype=golden["dtypes"][f"{split}_{name}"])
            np.save(folder / split / f"all__{name}.npy", array)
    (folder / "identifiers.json").write_text(json.dumps(["<blank>"]))
    return folder


def test_the_arc_folder_is_written_byte_for_byte(tmp_path):
    data = read_dataset(MINI_ARC)
    assert data.task_settings == {"name": "arc", "canvas": 30}
    assert len(data.identifiers) == data.train.metadata.num_puzzle_identifiers == 13
    assert data.info == {}
    puzzles = (MINI_ARC / "test_puzzles.json").read_text(encoding="utf-8")
    write_dataset(
        tmp_path / "copy",
        *(data.train, data.test, data.identifiers, data.task_settings),
        files={"test_puzzles.json": puzzles},
    )
    official = [
        path.relative_to(MINI_ARC)
        for path in MINI_ARC.rglob("*.*")
        if path.is_file() and not path.name.startswith("loader_expected")
    ]
    assert len(official) == 14
    for name in official:
        assert (tmp_path / "copy" / name).read_bytes() == (MINI_ARC / name).read_bytes(), name
    copy = read_dataset(tmp_path / "copy")
    assert copy.task_settings == data.task_settings
    assert copy.identifiers == data.identifiers


def test_arc_test_batches_are_the_official_loaders():
    expected = load_file(MINI_ARC / "loader_expected.safetensors")
    count = len({name.split(".")[1] for name in expected if name.startswith("test.")})
    size = len(expected["test.batch0.inputs"])
    batches = list(read_dataset(MINI_ARC).test.padded_batches(size))
    assert len(batches) == count
    for number, (batch, _) in enumerate(batches):
        for name, array in batch.items():
            assert array.dtype == np.int32
            assert np.array_equal(array, expected[f"test.batch{number}.{name}"]), (number, name)


def test_the_maze_folder_is_written_byte_for_byte(tmp_path):
    folder = official_mazes(tmp_path / "official")
    data = read_dataset(folder)
    assert data.task_settings == {"name": "maze", "rows": 6, "columns": 6}
    assert (len(data.train), len(data.test), len(data.train.group_indices)) == (16, 2, 3)
    write_dataset(tmp_path / "copy", data.train, data.test, data.identifiers)
    for path in folder.rglob("*.*"):
        assert (tmp_path / "copy" / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("sizes", "task"),
    [
        ((11, 81), {"name": "sudoku", "size": 9}),
        ((6, 16), {"name": "sudoku", "size": 4}),
        ((6, 900), {"name": "maze", "rows": 30, "columns": 30}),
        ((12, 900), {"name": "arc", "canvas": 30}),
        ((12, 100), {"name": "arc", "canvas": 10}),
        ((12, 961), None),
        ((12, 80), None),
        ((6, 72), None),
        ((7, 900), None),
        ((6, 1), None),
    ],
)
def test_sizes_tell_the_task(sizes, task):
    assert official_task(*sizes) == task
