"""Which tasks there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from thinkling.errors import InputError, nearest
from thinkling.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class _Entry:
    module: str
    kind: str
    settings: tuple[str, ...]
    named_puzzles: bool = False


_TASKS = {
    "arc": _Entry(
        module="thinkling.tasks.arc",
        kind="Arc",
        settings=("canvas", "augmentations", "pair_counts"),
        named_puzzles=True,
    ),
    "maze": _Entry(module="thinkling.tasks.maze", kind="Maze", settings=("rows", "columns")),
    "sudoku": _Entry(module="thinkling.tasks.sudoku", kind="Sudoku", settings=("size",)),
    "table": _Entry(
        module="thinkling.tasks.table",
        kind="Table",
        settings=("tokens", "alphabet", "length", "align", "separator", "shape", "frame", "plugin"),
    ),
}


def task_names() -> tuple[str, ...]:
    """The names `get_task` knows."""
    return tuple(sorted(_TASKS))


def get_task(settings: Mapping[str, Any] | str, identifiers: Sequence[str] = ()) -> Task:
    """The task of a name (with its default settings) or of what `Task.settings()` returned.

    Args:
        settings: the name, or a mapping with it and with the task's settings.
        identifiers: the name of each puzzle id, for tasks whose puzzles have names.

    Raises:
        InputError: unknown task or setting, with the nearest known one.
    """
    chosen: dict[str, Any] = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = chosen.pop("name", None)
    if not isinstance(name, str) or name not in _TASKS:
        raise InputError(f"task {name!r}", ", ".join(task_names()), nearest(str(name), task_names()))
    entry = _TASKS[name]
    for key in chosen:
        if key not in entry.settings:
            raise InputError(
                f"setting {key!r} of task {name}", ", ".join(entry.settings), nearest(key, entry.settings)
            )
    if entry.named_puzzles:
        chosen["identifiers"] = tuple(identifiers)
    return cast(Task, getattr(importlib.import_module(entry.module), entry.kind)(**chosen))
