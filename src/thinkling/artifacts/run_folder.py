"""A run folder and how its files are written and found.

    RUN/config.json  model.safetensors  ema.safetensors?  manifest.json   what a reader of the model needs
        metrics.jsonl  report.md  curve.svg  README.md                    what a person reads
        checkpoints/last  previous  best                                  each a loadable model folder

A file is written under a temporary name, flushed to the disk and renamed, so that it is there whole or not at
all. A `manifest.json` is written after the files it names, with their sizes and SHA-256: a checkpoint without
one is half-written and ignored, and a file that does not match is damaged and named. `config.json` is not in
the manifest; it may be edited by hand, and whoever parses it is strict.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinkling.artifacts.shipped import shipped_folder, shipped_names
from thinkling.errors import InputError, ThinklingError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
AVERAGED = "ema.safetensors"
MANIFEST = "manifest.json"


class RunFolder:
    """The paths of a run folder; nothing is read or made until asked for."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.report = self.path / "report.md"
        self.curve = self.path / "curve.svg"
        self.card = self.path / "README.md"

    def config(self) -> dict[str, Any]:
        """The contents of config.json.

        Raises:
            InputError: there is none, or it is not a JSON object.
        """
        return read_config(self.path)

    def has_anything(self) -> bool:
        """Whether a run has already left weights or checkpoints here."""
        return (self.path / WEIGHTS).exists() or any(self.checkpoints.glob("*/" + MANIFEST))


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder.

    Raises:
        InputError: there is none, or it is not a JSON object.
    """
    return read_json(Path(folder) / CONFIG)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: the file is missing, cut short or not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing", "a whole run folder", "use another checkpoint or run"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path} is damaged ({error})", "a JSON object", "use another checkpoint or run"
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"{path} holds a {type(value).__name__}", "a JSON object", "use another checkpoint or run"
        )
    return value


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file by `write(temporary path)`, flush it, give it its name; an error leaves nothing."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # safetensors makes its files readable by the owner only
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda temporary: _write(temporary, text))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def cannot_write(what: Path | str, error: OSError) -> ThinklingError:
    """The system's reason why something could not be written, as an error for the user."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    next_step = "free some disk space, then use --resume" if full else "check the folder and its permissions"
    return ThinklingError(f"could not write {what}: {error.strerror or error}; {next_step}")


def sync_folder(folder: Path) -> None:
    """Flush renames inside a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_manifest(folder: Path, names: Sequence[str]) -> None:
    """Seal a folder: record size and SHA-256 of the named files. The last file to be written."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names
    }
    write_json(folder / MANIFEST, {"files": files})


def verify(folder: Path, names: Sequence[str] | None = None) -> None:
    """Compare files with the manifest of their folder; a folder without a manifest has nothing to compare.

    Args:
        folder: where the manifest is.
        names: only these of the manifest's files; all by default.

    Raises:
        InputError: naming the damaged or missing file, and a checkpoint that is whole.
    """
    if (fault := find_fault(folder, names)) is not None:
        raise InputError(fault, "files as they were written", _advice(folder))


def find_fault(folder: Path, names: Sequence[str] | None = None) -> str | None:
    """What is wrong with a folder according to its manifest, in words that name the file; None if nothing."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        files = read_json(path)["files"]
        wanted = {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except (InputError, KeyError, TypeError, AttributeError):
        return f"{path} is damaged"
    for name, (size, digest) in wanted.items():
        if names is not None and name not in names:
            continue
        file = folder / name
        if not file.exists():
            return f"{file} is missing"
        if file.stat().st_size != size:
            return f"{file} is damaged ({file.stat().st_size} bytes instead of {size})"
        if _sha256(file) != digest:
            return f"{file} is damaged (its contents changed after it was written)"
    return None


def find_model_folder(path: Path | str) -> Path:
    """The folder to load a model from, its weights verified.

    That is the run folder itself; or, when training was killed before it wrote weights there, its best
    checkpoint, or the last one. A checkpoint folder is a model folder too, and so is a model that comes with the
    package, by its name alone. Of a name and a run folder of that name the run folder is meant.

    Raises:
        InputError: the path does not exist, is not a run folder, is half-written, or a file of it is damaged.
    """
    path = Path(path)
    path = shipped_run(path) or path
    if not path.exists():
        raise InputError(
            f"{path} does not exist",
            " or ".join(["a run folder", *map(repr, shipped_names())]),
            "check the path, or make one with `thinkling train`",
        )
    if not path.is_dir():
        raise InputError(f"{path} is a file", "a run folder", "give the folder that holds config.json")
    if path.parent.name == "checkpoints" and not (path / MANIFEST).exists():
        raise InputError(
            f"{path} is half-written (it has no {MANIFEST})", "a finished checkpoint", _advice(path)
        )
    folder = path
    if not any((path / name).exists() for name in (WEIGHTS, MANIFEST)):
        found = newest_complete(path / "checkpoints", "best") or newest_complete(path / "checkpoints", "last")
        if found is None:
            raise InputError(
                f"{path} has no {WEIGHTS}",
                "a run folder with weights or a finished checkpoint",
                "train it first",
            )
        folder = found
    verify(folder, (WEIGHTS, AVERAGED))
    if not (folder / CONFIG).exists():
        raise InputError(f"{folder / CONFIG} is missing", "a run folder with a config.json", _advice(folder))
    return folder


def shipped_run(path: Path) -> Path | None:
    """The folder of the model in the package that a name stands for; None where a run folder has that name."""
    run_folder = any((path / name).exists() for name in (CONFIG, WEIGHTS, MANIFEST, "checkpoints"))
    return None if run_folder else shipped_folder(path)


def newest_complete(checkpoints: Path, name: str) -> Path | None:
    """The newest finished checkpoint called `name`, wherever a kill in the middle of a save has left it."""
    # In the middle of a rotation the newest one is still called .new, or the old one already `previous`.
    names = [f"{name}.new", name] + (["previous"] if name == "last" else [])
    return next((checkpoints / n for n in names if (checkpoints / n / MANIFEST).exists()), None)


def _advice(damaged: Path) -> str:
    """What to do about a damaged folder: the path of a whole checkpoint of the same run, if there is one."""
    base = damaged.parent if damaged.parent.name == "checkpoints" else damaged / "checkpoints"
    for name in ("best", "last", "previous"):
        folder = base / name
        if folder != damaged and (folder / MANIFEST).exists() and find_fault(folder) is None:
            return f"{folder} is whole and loads by itself"
    return "no other checkpoint of this run is whole; train again or use a copy"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_of_run(place: Path, folder: Path, name: str) -> Path:
    """A file that a run holds beside its weights or, for a checkpoint, in the run folder that it belongs to.

    Args:
        place: what the user named.
        folder: the model folder found there.
        name: the file's name.

    Raises:
        InputError: it is nowhere.
    """
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder
    for candidate in (folder / name, place / name, run / name):
        if candidate.exists():
            return candidate
    raise InputError(
        f"{place / name} is missing",
        f"a run folder with the {name} that the model was trained with",
        f"copy the run's {name} there",
    )


def check_config(
    folder: Path, config: Mapping[str, Any], expected: Mapping[str, Any], needed: Sequence[str], kind: str
) -> None:
    """Refuse the config.json of another kind of run.

    Args:
        folder: where it lies.
        config: its content.
        expected: values that must be as they are here.
        needed: keys that must be there.
        kind: what the run should be, in words, such as "a language model's run".

    Raises:
        InputError: naming the first key that is wrong.
    """
    where = folder / CONFIG
    for key, allowed in expected.items():
        if config.get(key) != allowed:
            raise InputError(f"{key} {config.get(key)!r} in {where}", str(allowed), f"use {kind}")
    for key in needed:
        if key not in config:
            raise InputError(f"{where} without {key!r}", f"the config of {kind}", "use a run folder")
