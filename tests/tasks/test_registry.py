"""Every task by its name, and again by its own settings."""

import json

import pytest

from thinkling.errors import InputError
from thinkling.tasks.registry import get_task, task_names

NEEDED = {"table": {"alphabet": "ab", "length": 3}}
"""Settings without which a task cannot be."""


@pytest.mark.parametrize("name", task_names())
def test_every_task_keeps_its_promises(name):
    task = get_task({"name": name, **NEEDED.get(name, {})})
    assert get_task(task.settings()).settings() == task.settings()
    assert json.loads(json.dumps(task.settings())) == task.settings()
    assert task.shape[0] * task.shape[1] == task.seq_len


def test_registry_names_the_nearest():
    assert get_task({"name": "sudoku", "size": 6}).seq_len == 36
    for settings, words in (
        ("sudoko", "did you mean 'sudoku'"),
        ({"name": "sudoku", "siz": 6}, "did you mean 'size'"),
        ({"name": "sudoku", "size": 5}, "4, 6 or 9"),
        ({"name": "sudoku", "size": 9.0}, "4, 6 or 9"),
        ({"name": "sudoku", "size": [9]}, "4, 6 or 9"),
        ({"size": 9}, "task None"),
    ):
        with pytest.raises(InputError, match=words):
            get_task(settings)
