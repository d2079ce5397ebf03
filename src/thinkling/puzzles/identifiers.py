"""The names of puzzle ids in a run folder: `identifiers.json`, as beside the official data sets.

A model whose puzzles have names (ARC's tasks and their augmentations) is of no use without them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from thinkling.artifacts.run_folder import write_text
from thinkling.errors import InputError

IDENTIFIERS = "identifiers.json"
"""The file's name in a run folder."""


def write_identifiers(folder: Path, names: Sequence[str]) -> None:
    """Write the names, index = puzzle id; nothing where there is only the blank one.

    Raises:
        OSError: the disk is full or not writable.
    """
    if len(names) > 1:
        write_text(folder / IDENTIFIERS, json.dumps(list(names)))


def read_identifiers(folder: Path) -> tuple[str, ...]:
    """The names that belong to a model folder: its own, or for a checkpoint those of its run; () where none are.

    Raises:
        InputError: the file is damaged.
    """
    for path in (folder / IDENTIFIERS, folder.parent.parent / IDENTIFIERS):
        if path.is_file():
            try:
                names = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                names = error
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise InputError(f"{path} is damaged", "a JSON list of names", "copy it from the data set")
            return tuple(names)
    return ()
