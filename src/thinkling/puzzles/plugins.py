"""The user's plug-in of a table, named on the command line or in a call, and put to its task."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from thinkling.errors import InputError
from thinkling.tasks.table import Table
from thinkling.tasks.table_plugin import load_plugin
from thinkling.tasks.task import Task


def _on_standard_error(text: str) -> None:
    print(f"thinkling: {text}", file=sys.stderr)


def with_plugin(
    task: Task, file: Path | None, *, training: bool = False, warn: Callable[[str], None] = _on_standard_error
) -> Task:
    """The task with the plug-in that the user names; this runs the file. Without a file nothing is run.

    Args:
        task: of a data set or a run.
        file: the plug-in, or None.
        training: whether the plug-in may not be left out where the data set was imported with one.
        warn: takes a sentence where the file is not the one that the data set or run was made with.

    Raises:
        InputError: the file cannot be used, the task takes none, or training lacks the one it had at the import.
    """
    if file is None:
        if training and isinstance(task, Table) and task.plugin is not None:
            name = task.plugin["file"]
            raise InputError(
                f"training without --task on a data set imported with the plug-in {name}",
                "the plug-in, by naming its file: its code is not in the data set",
                f"add --task {name}",
            )
        return task
    if not isinstance(task, Table):
        raise InputError(f"--task {file} for task {task.name}", "a plug-in for a table", "leave --task out")
    plugin = load_plugin(file)
    if task.plugin is not None and task.plugin["sha256"] != plugin.sha256:
        warn(
            f"{file} is not the plug-in {task.plugin['file']} of this data: SHA-256 {plugin.sha256[:12]}…, "
            f"not {task.plugin['sha256'][:12]}…"
        )
    return task.with_plugin(plugin)
