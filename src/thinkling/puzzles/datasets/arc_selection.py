"""Which ARC tasks a data set is made of, and which of them give away what is tested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thinkling.errors import InputError, nearest
from thinkling.puzzles.datasets.arc_files import ArcTask, choose_sets, find_sets
from thinkling.tasks.arc_grid import Grid, grid_hash

_TRAIN_SETS = {"": ("training", "concept"), "2": ("training2", "concept")}
_TEST_SETS = ("evaluation", "evaluation2")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The tasks of a data set, in order."""

    subsets: list[tuple[list[ArcTask], bool]]
    """Each set's tasks, and whether it is the test set."""
    leaked: list[str]
    """Test tasks that the training sets hold too."""
    duplicates: int
    """Training tasks left out because an earlier set has the same."""
    dropped: int
    """Training tasks left out because they give away a test task."""

    def tasks(self, *, test: bool) -> list[ArcTask]:
        """The tasks of the training sets or of the test set."""
        return [task for tasks, for_test in self.subsets if for_test == test for task in tasks]

    def groups(self, split: str) -> list[tuple[ArcTask, list[tuple[Grid, Grid]]]]:
        """The tasks of a split with the pairs that belong to it; a test pair without a known answer gets `[[0]]`."""
        if split == "test":
            return [(task, task.answered) for task in self.tasks(test=True)]
        return [
            (task, task.demonstrations if for_test else task.pairs)
            for tasks, for_test in self.subsets
            for task in tasks
        ]


def select(
    sources: Sequence[Path],
    train_sets: Sequence[str] | None,
    test_set: str | None,
    tasks: str,
    *,
    drop_leaks: bool,
) -> Selection:
    """The tasks that a data set is made of; see `import_arc`."""
    found = find_sets(sources)
    if test_set is None:
        test_set = next((name for name in _TEST_SETS if name in found), None)
        if test_set is None and len(found) == 1:
            test_set = next(iter(found))
    if train_sets is None:
        family = _TRAIN_SETS["2" if test_set in ("evaluation2", "training2") else ""]
        train_sets = [name for name in family if name in found]
    if not test_set and not train_sets:
        raise InputError(
            "no set to train on and none to test on",
            f"sets that are there: {', '.join(found)}",
            "name them with --train-sets and --test-set",
        )
    choose_sets(found, train_sets, "--train-sets")
    choose_sets(found, [test_set] if test_set else [], "--test-set")
    order = list(dict.fromkeys([*train_sets, *([test_set] if test_set else [])]))
    subsets = [(found[name](), name == test_set) for name in order]
    if tasks:
        subsets = _named(subsets, _names(tasks))
    subsets, duplicates = _without_duplicates(subsets)
    return _without_leaks(subsets, duplicates, drop_leaks=drop_leaks)


def _names(tasks: str) -> list[str]:
    text = tasks
    path = Path(tasks)
    if "," not in tasks and path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
            names = json.loads(text) if text.lstrip().startswith("[") else None
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read ({error})", "a file of task names", "correct it"
            ) from None
        if isinstance(names, list):
            text = ",".join(map(str, names))
    names = [name for name in text.replace(",", " ").split() if name]
    if not names:
        raise InputError(
            f"--tasks {tasks!r}", "names of tasks with commas between, or a file of them", "name one"
        )
    return list(dict.fromkeys(names))


def _named(subsets: list[tuple[list[ArcTask], bool]], names: list[str]) -> list[tuple[list[ArcTask], bool]]:
    known = {task.name for tasks, _ in subsets for task in tasks}
    for name in names:
        if name not in known:
            raise InputError(f"--tasks {name}", f"a task of the {len(known)} chosen", nearest(name, known))
    return [([task for task in tasks if task.name in names], for_test) for tasks, for_test in subsets]


def _pair_hash(question: Grid, answer: Grid) -> str:
    return grid_hash(question) + grid_hash(answer)


def _pair_hashes(task: ArcTask) -> frozenset[str]:
    return frozenset(_pair_hash(*pair) for pair in task.pairs)


def _without_duplicates(
    subsets: list[tuple[list[ArcTask], bool]],
) -> tuple[list[tuple[list[ArcTask], bool]], int]:
    """Without training tasks that an earlier training set has with the same name and the same pairs."""
    seen: set[tuple[str, frozenset[str]]] = set()
    kept: list[tuple[list[ArcTask], bool]] = []
    for tasks, for_test in subsets:
        fresh = []
        for task in tasks:
            key = (task.name, _pair_hashes(task))
            if for_test or key not in seen:
                fresh.append(task)
            if not for_test:
                seen.add(key)
        kept.append((fresh, for_test))
    return kept, sum(map(len, (tasks for tasks, _ in subsets))) - sum(len(tasks) for tasks, _ in kept)


def _without_leaks(
    subsets: list[tuple[list[ArcTask], bool]], duplicates: int, *, drop_leaks: bool
) -> Selection:
    """Finds test tasks that training knows: by name, or by a test pair (where its answer is unknown, by all
    demonstrations) that a training task of another name holds."""
    training = [task for tasks, for_test in subsets if not for_test for task in tasks]
    holders: dict[str, list[str]] = {}
    for task in training:
        for key in _pair_hashes(task):
            holders.setdefault(key, []).append(task.name)
    trained_on = {task.name for task in training}
    leaked: list[str] = []
    culprits: set[str] = set()
    for task in (task for tasks, for_test in subsets if for_test for task in tasks):
        giving_away = {task.name} & trained_on
        for pair in task.solved:
            giving_away.update(holders.get(_pair_hash(*pair), []))
        if not task.solved:
            sharing = [set(holders.get(_pair_hash(*pair), [])) for pair in task.demonstrations]
            giving_away |= set.intersection(*sharing)
        if giving_away:
            leaked.append(task.name)
            culprits |= giving_away
    if drop_leaks:
        subsets = [
            (tasks if for_test else [task for task in tasks if task.name not in culprits], for_test)
            for tasks, for_test in subsets
        ]
    dropped = len(training) - sum(len(tasks) for tasks, for_test in subsets if not for_test)
    if not any(tasks for tasks, _ in subsets):
        raise InputError("no task left", "at least one", "choose other sets or tasks")
    return Selection(subsets=subsets, leaked=leaked, duplicates=duplicates, dropped=dropped)
