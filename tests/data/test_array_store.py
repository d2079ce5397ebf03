"""Data set folders: the official files byte for byte, and every kind of damage named."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from thinkling.data import array_store, batch
from thinkling.data.array_store import IGNORED, PuzzleSet, read_dataset, read_split, write_dataset
from thinkling.errors import InputError, ThinklingError

GOLDEN = Path(__file__).parents[1] / "golden/mini_sudoku"
SETTINGS = {"name": "sudoku", "size": 4}


def some(count=6, seed=0, length=16):
    random = np.random.default_rng(seed)
    inputs = random.integers(1, 6, (count, length)).astype(np.uint8)
    labels = random.integers(2, 6, (count, length)).astype(np.uint8)
    return PuzzleSet.of_puzzles(inputs, labels, vocab_size=6, ratings=np.arange(count, dtype=np.int32))


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "set", some(6), some(3, 1), task_settings=SETTINGS, info={"seed": 5})
    return tmp_path / "set"


def test_the_label_that_is_not_scored_is_one_value_everywhere():
    assert IGNORED == batch.IGNORE_LABEL


def test_official_folder_is_read():
    data = read_dataset(GOLDEN)
    assert (len(data.train), len(data.test)) == (80, 7)
    assert data.task_settings == {"name": "sudoku", "size": 9}
    assert data.identifiers == ["<blank>"]
    assert data.train.inputs.dtype == np.int64
    assert isinstance(data.train.inputs, np.memmap)
    assert data.train.ratings is None
    assert len(data.train.group_indices) == 21
    assert data.info == {}
    assert len(data.sha256) == 64


def test_official_folder_is_written_byte_for_byte(tmp_path):
    data = read_dataset(GOLDEN)
    write_dataset(tmp_path / "copy", data.train, data.test, data.identifiers, data.task_settings)
    official = [path for path in GOLDEN.rglob("*") if path.is_file() and path.parent != GOLDEN]
    assert len(official) == 12
    for path in [*official, GOLDEN / "identifiers.json"]:
        assert (tmp_path / "copy" / path.relative_to(GOLDEN)).read_bytes() == path.read_bytes()
    assert read_dataset(tmp_path / "copy").sha256 == data.sha256


def test_test_batches_are_the_official_loaders():
    expected = load_file(GOLDEN / "loader_expected.safetensors")
    described = json.loads((GOLDEN / "loader_expected.json").read_text())
    made = list(read_split(GOLDEN, "test").padded_batches(described["global_batch_size"]))
    assert len(made) == len(described["test"])
    for number, ((arrays, real), entry) in enumerate(zip(made, described["test"], strict=True)):
        assert real == entry["effective_batch_size"]
        for name, array in arrays.items():
            golden = expected[f"test.batch{number}.{name}"]
            assert array.dtype == golden.dtype
            assert np.array_equal(array, golden)


def test_batches_without_a_rest_are_not_padded():
    made = list(some(6).padded_batches(3))
    assert [real for _, real in made] == [3, 3]


def test_labels_that_are_not_scored_become_the_ignored_value():
    puzzles = some()
    puzzles.labels[2, 3] = 0
    inputs, labels, ids = puzzles.examples(np.array([2, 0]))
    assert labels[0, 3] == IGNORED
    assert (labels == IGNORED).sum() == 1
    assert (inputs.dtype, labels.dtype, ids.dtype) == (np.int32,) * 3
    kept = dataclasses.replace(puzzles, metadata=dataclasses.replace(puzzles.metadata, ignore_label_id=None))
    assert kept.examples(slice(2, 3))[1][0, 3] == 0


def test_written_folder_comes_back(folder):
    data = read_dataset(folder)
    assert data.task_settings == SETTINGS
    assert data.info["seed"] == 5
    assert np.array_equal(data.train.inputs, some(6).inputs)
    assert np.array_equal(data.test.labels, some(3, 1).labels)
    assert data.train.ratings.tolist() == list(range(6))
    assert data.test.metadata.total_puzzles == 3
    assert (folder / "thinkling.json").stat().st_mtime_ns >= (
        folder / "test/all__inputs.npy"
    ).stat().st_mtime_ns


def test_the_hash_depends_on_content_only(tmp_path, folder):
    again = write_dataset(tmp_path / "other", some(6), some(3, 1), task_settings=None, info={"seed": 6})
    assert again == read_dataset(folder).sha256
    assert write_dataset(tmp_path / "third", some(6, 9), some(3, 1)) != again


def test_an_empty_split_is_a_split(tmp_path):
    write_dataset(tmp_path / "set", some(6), some(0))
    assert len(read_dataset(tmp_path / "set").test) == 0


def test_ratings_of_augmented_puzzles_are_kept_once_a_puzzle(tmp_path):
    puzzles = some(6)
    grouped = dataclasses.replace(
        puzzles,
        puzzle_indices=np.array([0, 2, 4, 6], dtype=np.int32),
        group_indices=np.array([0, 3], dtype=np.int32),
        puzzle_identifiers=np.array([0, 1, 2], dtype=np.int32),
        puzzle_ids=np.array([0, 0, 1, 1, 2, 2], dtype=np.int32),
        ratings=np.array([4, 4, 5, 5, 6, 6]),
        metadata=dataclasses.replace(
            puzzles.metadata, num_puzzle_identifiers=3, total_groups=1, total_puzzles=None
        ),
    )
    write_dataset(tmp_path / "set", grouped, some(3), ["<blank>", "a", "b"])
    back = read_dataset(tmp_path / "set").train
    assert back.ratings.tolist() == [4, 4, 5, 5, 6, 6]
    assert back.puzzle_ids.tolist() == [0, 0, 1, 1, 2, 2]
    assert back.metadata.total_puzzles is None
    assert "total_puzzles" not in json.loads((tmp_path / "set/train/dataset.json").read_text())


FILES = [
    *(f"{split}/all__{name}.npy" for split in ("train", "test") for name in ("inputs", "labels", "ratings")),
    "train/all__puzzle_indices.npy",
    "train/all__group_indices.npy",
    "train/all__puzzle_identifiers.npy",
    "test/dataset.json",
    "identifiers.json",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("manifest", [True, False])
def test_damaged_files_are_named(folder, name, manifest):
    path = folder / name
    whole = path.read_bytes()
    if not manifest:
        (folder / "thinkling.json").unlink()
    damages = {"cut": whole[:-3], "empty": b"", "gone": None}
    if manifest:
        damages["changed"] = whole[:-1] + bytes([whole[-1] ^ 1])
    for damage, content in damages.items():
        if damage == "gone" and not manifest and "ratings" in name:
            continue  # an official folder has no ratings
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_dataset(folder)
        assert str(path) in str(caught.value), damage
        path.write_bytes(whole)
    read_dataset(folder)


def test_arrays_that_do_not_fit_are_named(folder):
    (folder / "thinkling.json").unlink()
    for name, array, words in (
        ("inputs", np.zeros((6, 15), np.uint8), r"shape \[6, 15\] in place of \[6, 16\]"),
        ("labels", np.zeros((5, 16), np.uint8), r"shape \[5, 16\]"),
        ("inputs", np.full((6, 16), 6, np.uint8), "row 0 holds a token outside 0..5"),
        ("labels", np.full((6, 16), -1, np.int8), "row 0 holds a token outside 0..5"),
        ("inputs", np.zeros((6, 16)), "no integer array"),
        ("puzzle_indices", np.array([0, 1, 2, 3, 4, 5, 5], np.int32), "count up from 0 to 6"),
        (
            "puzzle_indices",
            np.array([0, 6], np.int32),
            "holds 6 ids, but all__puzzle_indices.npy has 1 puzzles",
        ),
        ("group_indices", np.array([0, 4, 2, 6], np.int32), "count up"),
        ("puzzle_identifiers", np.full(6, 1, np.int32), r"ids outside 0\.\.0"),
        ("ratings", np.zeros(5, np.int32), "5 ratings for 6 puzzles"),
    ):
        path = folder / f"train/all__{name}.npy"
        whole = path.read_bytes()
        np.save(path, array)
        with pytest.raises(InputError, match=words) as caught:
            read_dataset(folder)
        assert path.name in str(caught.value)
        path.write_bytes(whole)


def test_metadata_is_read_strictly(folder):
    (folder / "thinkling.json").unlink()
    path = folder / "train/dataset.json"
    whole = json.loads(path.read_text())
    for change, words in (
        ({"vocab": 6}, "did you mean 'vocab_size'"),
        ({"seq_len": "16"}, "'seq_len' is '16'"),
        ({"mean_puzzle_examples": None}, "'mean_puzzle_examples' is None"),
        ({"sets": ["a", "b"]}, "one set"),
        ({"num_puzzle_identifiers": 9}, "names 1 ids, fewer than train has"),
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(InputError, match=words):
            read_dataset(folder)
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != "pad_id"}))
    with pytest.raises(InputError, match="'pad_id' is missing"):
        read_dataset(folder)


def test_what_is_no_data_set_is_refused(tmp_path, folder):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("none", "no such folder"),
        ("file", "not a folder"),
        ("empty", "no thinkling.json and no"),
    ):
        with pytest.raises(InputError, match=words):
            read_dataset(tmp_path / name)
    shutil.rmtree(folder / "test")
    with pytest.raises(InputError, match="missing"):
        read_dataset(folder)
    (folder / "thinkling.json").write_text("[]")
    with pytest.raises(InputError, match=r"thinkling\.json: is not a manifest"):
        read_dataset(folder)


def test_only_an_own_data_set_is_replaced(tmp_path, folder):
    sha256 = write_dataset(folder, some(2), some(2))
    assert read_dataset(folder).sha256 == sha256
    (tmp_path / "empty").mkdir()
    write_dataset(tmp_path / "empty", some(2), some(2))
    (folder / "train/notes.txt").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    shutil.copytree(GOLDEN, tmp_path / "official")
    for name, words in (
        ("set", "train/notes.txt"),
        ("home", "no data set of this program"),
        ("home/letter.txt", "is not a folder"),
        ("link", "is not a folder"),
        ("official", "no data set of this program"),
    ):
        with pytest.raises(InputError, match=words):
            write_dataset(tmp_path / name, some(2), some(2))
    assert (folder / "train/notes.txt").read_text() == "mine"
    assert (tmp_path / "home/letter.txt").read_text() == "mine"


@pytest.mark.parametrize("moment", ["labels", "rename"])
def test_a_full_disk_leaves_the_old_data_set_whole(tmp_path, folder, monkeypatch, moment):
    before = read_dataset(folder).sha256
    save, rename = np.save, Path.rename

    def full(path, array):
        if "labels" in str(path):
            raise OSError(28, "No space left on device")
        save(path, array)

    def stuck(self, target):
        if self.name.endswith(".new"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    if moment == "labels":
        monkeypatch.setattr(array_store.np, "save", full)
    else:
        monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(ThinklingError, match="No space left"):
        write_dataset(folder, some(2), some(2))
    monkeypatch.undo()
    assert read_dataset(folder).sha256 == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]
