"""Data sets on disk: the official HRM folder layout, memory-mapped, with a manifest of our own beside it.

    DIR/identifiers.json                    the name of each puzzle id; entry 0 is "<blank>"
    DIR/{train,test}/dataset.json           sizes and special ids
    DIR/{train,test}/all__*.npy             inputs, labels, puzzle_identifiers, puzzle_indices, group_indices
    DIR/{train,test}/all__ratings.npy       ours, optional: how hard each puzzle is
    DIR/thinkling.json                      ours, written last: task, seed, counts, SHA-256 of every file

The official files are byte for byte what the official builders write, so the folder works with HRM's and
TRM's code; a folder without `thinkling.json` is read as an official one. Source: HRM `puzzle_dataset.py`.

Shapes: N examples, L positions, P puzzles, G groups (see `puzzle_set`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.data.puzzle_set import IGNORED, Metadata, PuzzleSet, official_task
from thinkling.errors import InputError, ThinklingError, nearest

__all__ = [
    "IGNORED",
    "MANIFEST",
    "SPLITS",
    "Dataset",
    "Metadata",
    "PuzzleSet",
    "check_output",
    "read_dataset",
    "read_split",
    "write_dataset",
]

MANIFEST = "thinkling.json"
SPLITS = ("train", "test")

_ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
_HASHED_BY_DEFAULT = 64 * 2**20
_REMAKE = "make or import the data set again"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Both splits, and what they are about."""

    train: PuzzleSet
    """Examples to learn from."""
    test: PuzzleSet
    """Examples to score on."""
    task_settings: dict[str, Any] | None
    """What `tasks.registry.get_task` needs; None where the folder does not say."""
    identifiers: list[str]
    """The name of each puzzle id."""
    sha256: str
    """SHA-256 of the content, as in the manifest; computed where there is none."""
    info: dict[str, Any]
    """The manifest (empty for an official folder)."""


def _bad_file(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "a complete data set file", _REMAKE)


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _bad_file(path, "missing") from None
    except (OSError, ValueError) as error:
        raise _bad_file(path, f"cannot be read ({error})") from None


def _load_array(path: Path) -> NDArray[Any]:
    try:
        # Memory-mapping an empty array fails, so the few bytes of one are read instead.
        mode: Literal["r"] | None = "r" if path.stat().st_size > 1024 else None
        array: Any = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise _bad_file(path, "missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise _bad_file(path, f"damaged or cut short ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise _bad_file(path, "holds no integer array")
    return np.asanyarray(array)


def _load_metadata(path: Path) -> Metadata:
    fields = _load_json(path)
    known = {field.name: field for field in dataclasses.fields(Metadata)}
    if not isinstance(fields, dict):
        raise _bad_file(path, "is no JSON object")
    for key in fields:
        if key not in known:
            raise InputError(f"{path}: field {key!r}", ", ".join(known), nearest(key, known))
    for key, field in known.items():
        if key not in fields and field.default is dataclasses.MISSING:
            raise _bad_file(path, f"field {key!r} is missing")
        if key in fields and key != "sets":
            value, kind = fields[key], int | float if key == "mean_puzzle_examples" else int
            optional = value is None and key in ("ignore_label_id", "total_puzzles")
            if not optional and (not isinstance(value, kind) or isinstance(value, bool)):
                raise _bad_file(path, f"field {key!r} is {value!r} and no number of the right kind")
    metadata = Metadata(**fields)
    sets: Any = metadata.sets
    if not isinstance(sets, list) or len(sets) != 1 or not isinstance(sets[0], str):
        raise InputError(f"{path}: sets {metadata.sets!r}", "one set", "join the sets into one")
    return metadata


def _check_indices(path: Path, indices: NDArray[Any], end: int) -> None:
    if (
        indices.ndim != 1
        or len(indices) < 1
        or indices[0] != 0
        or indices[-1] != end
        or (np.diff(indices) < 0).any()
    ):
        raise _bad_file(path, f"does not count up from 0 to {end}")


def _check_tokens(path: Path, array: NDArray[Any], lowest: int, vocab_size: int) -> None:
    for low in range(0, len(array), 65536):
        part = array[low : low + 65536]
        wrong = ((part < lowest) | (part >= vocab_size)).any(1)
        if wrong.any():
            row = low + int(wrong.argmax())
            raise _bad_file(path, f"row {row} holds a token outside {lowest}..{vocab_size - 1}")


def read_split(directory: Path, split: str) -> PuzzleSet:
    """One split of a data set folder, arrays memory-mapped.

    Raises:
        InputError: a file is missing, damaged, cut short or does not fit the others; names the file.
    """
    folder = Path(directory) / split
    if not folder.is_dir():
        raise InputError(
            f"{directory}: no folder {split!r}", "a data set folder with train and test", _REMAKE
        )
    metadata = _load_metadata(folder / "dataset.json")
    prefix = metadata.sets[0]
    paths = {name: folder / f"{prefix}__{name}.npy" for name in (*_ARRAYS, "ratings")}
    arrays = {name: _load_array(paths[name]) for name in _ARRAYS}
    count, puzzles = len(arrays["inputs"]), len(arrays["puzzle_identifiers"])
    for name in ("inputs", "labels"):
        if arrays[name].shape != (count, metadata.seq_len):
            expected = f"[{count}, {metadata.seq_len}]"
            raise _bad_file(paths[name], f"has shape {list(arrays[name].shape)} in place of {expected}")
    _check_indices(paths["puzzle_indices"], arrays["puzzle_indices"], count)
    _check_indices(paths["group_indices"], arrays["group_indices"], puzzles)
    identifiers = arrays["puzzle_identifiers"].astype(np.int32)
    if len(arrays["puzzle_indices"]) != puzzles + 1:
        indices = len(arrays["puzzle_indices"])
        what = f"holds {puzzles} ids, but {paths['puzzle_indices'].name} has {indices - 1} puzzles"
        raise _bad_file(paths["puzzle_identifiers"], what)
    if puzzles and not 0 <= identifiers.min() <= identifiers.max() < metadata.num_puzzle_identifiers:
        raise _bad_file(
            paths["puzzle_identifiers"], f"holds ids outside 0..{metadata.num_puzzle_identifiers - 1}"
        )
    _check_tokens(paths["inputs"], arrays["inputs"], 0, metadata.vocab_size)
    ignored = metadata.ignore_label_id
    _check_tokens(
        paths["labels"], arrays["labels"], min(0, 0 if ignored is None else ignored), metadata.vocab_size
    )
    sizes = np.diff(arrays["puzzle_indices"])
    ratings = None
    if paths["ratings"].exists():
        ratings = _load_array(paths["ratings"])
        if ratings.shape != (puzzles,):
            raise _bad_file(paths["ratings"], f"holds {len(ratings)} ratings for {puzzles} puzzles")
        ratings = np.repeat(ratings, sizes)
    return PuzzleSet(
        inputs=arrays["inputs"],
        labels=arrays["labels"],
        puzzle_ids=np.repeat(identifiers, sizes),
        puzzle_identifiers=identifiers,
        puzzle_indices=arrays["puzzle_indices"],
        group_indices=arrays["group_indices"],
        metadata=metadata,
        ratings=ratings,
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_files(directory: Path) -> list[str]:
    names = [
        path.relative_to(directory).as_posix() for split in SPLITS for path in (directory / split).glob("*")
    ]
    return sorted([*names, "identifiers.json"])


def _content_sha256(hashes: Mapping[str, str]) -> str:
    """One hash of all files: of the lines "hash  name", sorted by name (what `sha256sum` prints)."""
    return hashlib.sha256(
        "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()
    ).hexdigest()


def _verify(directory: Path, files: Mapping[str, Mapping[str, Any]], verify: bool | None) -> None:
    total = sum(int(entry["bytes"]) for entry in files.values())
    hashing = total <= _HASHED_BY_DEFAULT if verify is None else verify
    for name, entry in files.items():
        path = directory / name
        if not path.is_file():
            raise _bad_file(path, "missing")
        if path.stat().st_size != entry["bytes"]:
            raise _bad_file(path, f"{path.stat().st_size} bytes in place of {entry['bytes']}")
        if hashing and _file_sha256(path) != entry["sha256"]:
            raise _bad_file(path, f"content differs from the hash in {MANIFEST}")


def read_dataset(directory: Path, *, verify: bool | None = None) -> Dataset:
    """Both splits of a data set folder, ours or an official one.

    Args:
        directory: the folder.
        verify: whether to compare every file with its hash in the manifest; None does so up to 64 MiB. Sizes,
            shapes and token ranges are always compared.

    Raises:
        InputError: no data set, or a file that is missing, damaged or cut short; names the file.
    """
    directory = Path(directory)
    if not directory.is_dir():
        what = "not a folder" if directory.exists() else "no such folder"
        raise InputError(
            f"{directory}: {what}", "a data set folder", "make one with: thinkling data make sudoku --out DIR"
        )
    info: dict[str, Any] = {}
    if (directory / MANIFEST).exists():
        manifest = directory / MANIFEST
        info = _load_json(manifest)
        try:
            _verify(directory, info["files"], verify)
            sha256 = str(info["sha256"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _bad_file(manifest, "is not a manifest of this program") from None
    elif not (directory / "train" / "dataset.json").exists():
        raise InputError(
            f"{directory}: no {MANIFEST} and no train/dataset.json",
            "a data set folder",
            "make one with: thinkling data make sudoku --out DIR",
        )
    train, test = read_split(directory, "train"), read_split(directory, "test")
    names = directory / "identifiers.json"
    identifiers = _load_json(names)
    if not isinstance(identifiers, list):
        raise _bad_file(names, "is no list")
    for split, examples in zip(SPLITS, (train, test), strict=True):
        if examples.metadata.num_puzzle_identifiers > max(len(identifiers), 1):
            raise _bad_file(names, f"names {len(identifiers)} ids, fewer than {split} has")
    if not info:
        sha256 = _content_sha256({name: _file_sha256(directory / name) for name in _content_files(directory)})
    settings = info.get("task") if info else official_task(train.metadata.vocab_size, train.metadata.seq_len)
    return Dataset(
        train=train, test=test, task_settings=settings, identifiers=identifiers, sha256=sha256, info=info
    )


def _write_split(folder: Path, examples: PuzzleSet) -> None:
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(examples.metadata.to_json()), encoding="utf-8")
    prefix = examples.metadata.sets[0]
    for name in _ARRAYS:
        np.save(folder / f"{prefix}__{name}.npy", np.asarray(getattr(examples, name)))
    if examples.ratings is not None:
        starts = np.asarray(examples.puzzle_indices[:-1])
        np.save(folder / f"{prefix}__ratings.npy", np.asarray(examples.ratings)[starts].astype(np.int32))


def check_output(directory: Path) -> None:
    """InputError unless a data set may be written here: nothing there, an empty folder, a data set of ours.

    A folder of ours into which someone put other files is left alone too.
    """
    directory = Path(directory)
    if not directory.exists() and not directory.is_symlink():
        return
    foreign = "is not a folder"
    if directory.is_dir() and not directory.is_symlink():
        present = {
            path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()
        }
        if not present:
            return
        foreign = "holds files that are no data set of this program"
        if MANIFEST in present:
            try:
                ours = {*json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"], MANIFEST}
            except (OSError, ValueError, KeyError, TypeError):
                ours = set()
            if present <= ours:
                return
            foreign = f"holds a file that is not of the data set ({min(present - ours)})"
    raise InputError(
        f"--out {directory}: {foreign}",
        "a new or empty folder, or a data set to replace",
        "choose another folder",
    )


def write_dataset(
    directory: Path,
    train: PuzzleSet,
    test: PuzzleSet,
    identifiers: Sequence[str] = ("<blank>",),
    task_settings: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> str:
    """Writes a data set folder: all of it or, after an error, nothing.

    Args:
        directory: where; see `check_output` for what may be there already.
        train: examples to learn from.
        test: examples to score on.
        identifiers: the name of each puzzle id.
        task_settings: what `tasks.registry.get_task` needs.
        info: more for the manifest (generator, seed); it does not enter the hash.
        files: further text files at the top (ARC's `test_puzzles.json`), by name.

    Returns:
        The SHA-256 of the content. It depends on the arrays, not on place or time.

    Raises:
        InputError: something else is at `directory`.
        ThinklingError: the disk refuses.
    """
    directory = Path(directory)
    check_output(directory)
    fresh = directory.parent / f".{directory.name}.{os.getpid()}.new"
    old = directory.parent / f".{directory.name}.{os.getpid()}.old"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for split, examples in zip(SPLITS, (train, test), strict=True):
            _write_split(fresh / split, examples)
        (fresh / "identifiers.json").write_text(json.dumps(list(identifiers)), encoding="utf-8")
        for name, text in (files or {}).items():
            (fresh / name).write_text(text, encoding="utf-8")
        names = sorted({*_content_files(fresh), *(files or {})})
        entries = {
            name: {"bytes": (fresh / name).stat().st_size, "sha256": _file_sha256(fresh / name)}
            for name in names
        }
        sha256 = _content_sha256({name: str(entry["sha256"]) for name, entry in entries.items()})
        manifest = {
            "format": 1,
            "task": None if task_settings is None else dict(task_settings),
            **(info or {}),
            "train": len(train),
            "test": len(test),
            "sha256": sha256,
            "files": entries,
        }
        with (fresh / MANIFEST).open("w", encoding="utf-8") as file:
            file.write(json.dumps(manifest, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if directory.exists():
            directory.rename(old)
        fresh.rename(directory)
    except OSError as error:
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise ThinklingError(
            f"cannot write the data set {directory}: {error}; nothing was changed; "
            "free some space or choose another --out"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(old, ignore_errors=True)
    return sha256
