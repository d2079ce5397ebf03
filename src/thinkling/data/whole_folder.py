"""Folders that are written whole or not at all, with a manifest that names every file, its size and its SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinkling.errors import InputError, ThinklingError


@contextmanager
def whole_folder(directory: Path) -> Iterator[Path]:
    """A new empty folder to write to; when the block ends without an error it takes the name `directory`.

    What was there before is replaced then and not earlier; who calls this has checked that it may be.

    Raises:
        ThinklingError: the disk refuses; nothing was changed.
    """
    directory = Path(directory)
    fresh = directory.parent / f".{directory.name}.{os.getpid()}.new"
    old = directory.parent / f".{directory.name}.{os.getpid()}.old"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        yield fresh
        if directory.exists():
            directory.rename(old)
        fresh.rename(directory)
    except OSError as error:
        raise ThinklingError(
            f"cannot write {directory}: {error}; nothing was changed; free some space or choose another --out"
        ) from error
    finally:
        if old.exists() and not directory.exists():
            old.rename(directory)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_manifest(path: Path, info: Mapping[str, Any]) -> str:
    """Write a manifest of all files beside and below it, as the last file of the folder.

    Args:
        path: the manifest.
        info: what else it says; it does not enter the hash.

    Returns:
        The SHA-256 of the content: of the lines "hash  name", sorted by name, which is what `sha256sum` prints.
    """
    folder = path.parent
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in names
    }
    listing = "".join(f"{entry['sha256']}  {name}\n" for name, entry in files.items())
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"format": 1, **info, "sha256": sha256, "files": files}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return sha256


def check_file(path: Path, size: int, sha256: str | None, next_step: str) -> None:
    """Compare a file with its entry in the manifest.

    Args:
        path: the file.
        size: its bytes.
        sha256: its hash; None where it shall not be compared.
        next_step: what the user can do when it differs.

    Raises:
        InputError: it is missing, of another size or of another content.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing", "a complete data set file", next_step)
    if path.stat().st_size != size:
        raise InputError(
            f"{path}: {path.stat().st_size} bytes in place of {size}", "a complete data set file", next_step
        )
    if sha256 is not None and file_sha256(path) != sha256:
        raise InputError(
            f"{path}: content differs from the hash in the manifest", "a complete data set file", next_step
        )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
