"""Which tasks there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from thinkling.errors import InputError, nearest
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.task import Task

_TASKS: dict[str, Callable[..., Task]] = {"sudoku": Sudoku}
_SETTINGS: dict[str, tuple[str, ...]] = {"sudoku": ("size",)}


def task_names() -> tuple[str, ...]:
    """The names `get_task` knows."""
    return tuple(sorted(_TASKS))


def get_task(settings: Mapping[str, Any] | str) -> Task:
    """The task of a name (with its default settings) or of what `Task.settings()` returned.

    Raises:
        InputError: unknown task or setting, with the nearest known one.
    """
    chosen: dict[str, Any] = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = chosen.pop("name", None)
    if not isinstance(name, str) or name not in _TASKS:
        raise InputError(f"task {name!r}", ", ".join(task_names()), nearest(str(name), task_names()))
    known = _SETTINGS[name]
    for key in chosen:
        if key not in known:
            raise InputError(f"setting {key!r} of task {name}", ", ".join(known), nearest(key, known))
    return _TASKS[name](**chosen)
