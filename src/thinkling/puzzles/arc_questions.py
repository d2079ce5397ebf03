"""The questions of an ARC data set's test tasks, one augmentation of every task after the other.

Shapes: N examples, L positions, I puzzle ids, T tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import MANIFEST, PuzzleSet, read_split
from thinkling.data.batch import IGNORE_LABEL
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.puzzles.datasets.arc import TEST_PUZZLES
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.tasks.arc import ON_THE_FLY, STORED, Arc
from thinkling.tasks.arc_augmentation import IDENTITY, NamedAugmentations, read_name
from thinkling.tasks.arc_grid import VOCABULARY, canvas_of, crop

TaskIdMode = Literal["correct", "blank", "random"]
"""Which puzzle id the model is told: the augmented task's own, the blank one, or another task's."""

_CHUNK = 256
_DRAWS = 16
_OTHER_TASK_STREAM = 0xA2C1D


def is_arc(data: Path) -> bool:
    """Whether a path is an ARC data set folder, ours or an official one."""
    data = Path(data)
    if (data / TEST_PUZZLES).is_file():
        return True
    if not data.is_dir() or (data / MANIFEST).exists():
        return False
    try:
        return bool(_load(data / "test/dataset.json").get("vocab_size") == VOCABULARY)
    except (InputError, AttributeError):
        return False


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error})", "a complete ARC data set", "import the data set again"
        ) from None


@dataclass(frozen=True, kw_only=True)
class ArcQuestions:
    """The test split of an ARC data set with the names of its puzzle ids."""

    puzzles: PuzzleSet
    """The test split."""
    task: Arc
    """The data set's task."""
    identifiers: list[str]
    """The name of each puzzle id."""
    names: NamedAugmentations
    """What the ids stand for."""
    test_puzzles: dict[str, Any]
    """The test tasks as in their files, those of the limit only."""
    solved: bool
    """Whether the answers are known."""
    augmentations: int | None
    """How many augmentations of each task are asked besides the task itself; None: all."""

    @classmethod
    def read(cls, data: Path, *, limit: int = 0, augmentations: int | None = None) -> ArcQuestions:
        """The questions of a data set folder.

        Args:
            data: the folder.
            limit: only the first so many test tasks (0: all).
            augmentations: of each task, besides the task itself; None: all that are named.

        Raises:
            InputError: no ARC data set, or a damaged one; names the file.
        """
        puzzles = read_split(data, "test")
        manifest = _load(data / MANIFEST) if (data / MANIFEST).exists() else {}
        settings = manifest.get("task") or {}
        identifiers = _load(data / "identifiers.json")
        if not isinstance(identifiers, list) or puzzles.metadata.vocab_size != VOCABULARY:
            raise InputError(
                f"{data}: no ARC data set", "what 'thinkling data import arc' writes", "import one"
            )
        task = Arc(
            canvas=canvas_of(puzzles.metadata.seq_len),
            augmentations=settings.get("augmentations", STORED),
            identifiers=identifiers,
        )
        if (data / TEST_PUZZLES).exists():
            test_puzzles = _load(data / TEST_PUZZLES)
        else:
            test_puzzles = _reconstructed(puzzles, identifiers)
        if limit:
            test_puzzles = dict(list(test_puzzles.items())[:limit])
        if not test_puzzles:
            raise InputError(
                f"{data}: no test task", "a data set with test tasks", "import one with a --test-set"
            )
        return cls(
            puzzles=puzzles,
            task=task,
            identifiers=identifiers,
            names=task.names,
            test_puzzles=test_puzzles,
            solved=bool(manifest.get("solutions", True)),
            augmentations=augmentations,
        )

    def check_fits(self, model: PuzzleModel) -> None:
        """InputError unless the model is one for ARC on this canvas."""
        if (model.task.name, model.task.seq_len) != (self.task.name, self.task.seq_len):
            raise InputError(
                f"a data set of ARC on a canvas of {self.task.canvas} for a model of task {model.task.name} "
                f"with {model.task.seq_len} cells",
                "the task and the canvas that the model was trained on",
                "use data of the model's own kind",
            )

    def stream(self, asked: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
        """Puzzle id, inputs [L] and labels [L] of every question: un-augmented ones first, then round by round.

        Args:
            asked: [I] the ids to ask.
        """
        wanted = np.isin(np.array(self.names.tasks), list(self.test_puzzles))
        rounds = self._rounds_on_the_fly if self.task.augmentations == ON_THE_FLY else self._stored_rounds
        for rows, ids in rounds():
            kept = asked[ids] & wanted[self.names.task_of[ids]]
            rows, ids = rows[kept], ids[kept]
            for low in range(0, len(rows), _CHUNK):
                part = slice(low, low + _CHUNK)
                inputs, labels, _ = self.puzzles.examples(rows[part])
                if self.task.augmentations == ON_THE_FLY:
                    inputs = self.task.apply(inputs, ids[part])
                    labels = self.task.apply(labels, ids[part], IGNORE_LABEL)
                yield from zip(ids[part].tolist(), inputs, labels, strict=True)

    def _rounds_on_the_fly(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows and ids of each round, where the data set has each pair once."""
        tasks = self.names.task_of[self.puzzles.puzzle_ids]
        counts = self.names.counts[tasks]
        for place in range(self._count(counts)):
            rows = np.flatnonzero(counts > place)
            yield rows, self.names.ids(tasks[rows], np.full(len(rows), place))

    def _stored_rounds(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows and ids of each round, where the data set has every augmentation."""
        groups, starts = self.puzzles.group_indices, self.puzzles.puzzle_indices
        counts = np.diff(groups)
        for place in range(self._count(counts)):
            puzzles = groups[:-1][counts > place] + place
            pairs = [np.arange(starts[puzzle], starts[puzzle + 1]) for puzzle in puzzles]
            rows = np.concatenate(pairs)
            yield rows, np.asarray(self.puzzles.puzzle_ids)[rows]

    def _count(self, counts: NDArray[Any]) -> int:
        most = int(counts.max(initial=0))
        return most if self.augmentations is None else min(most, self.augmentations + 1)


def _reconstructed(puzzles: PuzzleSet, identifiers: list[str]) -> dict[str, Any]:
    """The test tasks of a folder without their file (HRM's builder writes none), from the un-augmented puzzles."""
    tasks: dict[str, Any] = {}
    for row, number in enumerate(np.asarray(puzzles.puzzle_ids).tolist()):
        task, augmentation = read_name(identifiers[number])
        if number and augmentation == IDENTITY:
            pair = {
                "input": crop(np.asarray(puzzles.inputs[row])).tolist(),
                "output": crop(np.asarray(puzzles.labels[row])).tolist(),
            }
            tasks.setdefault(task, {"test": []})["test"].append(pair)
    return tasks


class ToldIds:
    """Which puzzle id a model is told for each question.

    A model that has its ids by name is told its own. Where it knows some augmentations of a task only these are
    asked; of a task that it does not know all are, under the blank id.

    Args:
        model: the model.
        questions: what it is asked.
        mode: which id.
        seed: chooses the ids of mode "random".

    Attributes:
        asked: [I] the ids of the data set to ask.
        unknown: names of test tasks that the model does not know.

    Raises:
        InputError: mode "correct", and the model knows none of the test tasks; or "random", and it knows one at most.
    """

    def __init__(self, model: PuzzleModel, questions: ArcQuestions, mode: TaskIdMode, seed: int) -> None:
        self._mode, self._seed = mode, seed
        self._names, count = questions.names, len(questions.identifiers)
        self._ids = np.zeros(count, dtype=np.int64)
        self.asked = np.arange(count) > 0
        self.unknown: list[str] = []
        if model.network.puzzle_emb is None:
            self._mode = "blank"
        elif mode == "correct":
            self._ids = known_ids(model, questions.identifiers)
            self._leave_out_unknown(questions)
        elif mode == "random":
            self._others = NamedAugmentations(model.identifiers) if model.identifiers else self._names
            if len(self._others.tasks) < 2:
                raise InputError(
                    "--task-id random for a model of one task", "correct, blank", "use --task-id blank"
                )
            numbers = {task: number for number, task in enumerate(self._others.tasks)}
            self._own = [numbers.get(task, -1) for task in self._names.tasks]

    def _leave_out_unknown(self, questions: ArcQuestions) -> None:
        tasks = self._names.task_of
        known = np.zeros(len(self._names.tasks), dtype=np.bool_)
        known[tasks[1:][self._ids[1:] >= 0]] = True
        by_name = dict(zip(self._names.tasks, known.tolist(), strict=True))
        self.unknown = [task for task in questions.test_puzzles if not by_name.get(task)]
        if len(self.unknown) == len(questions.test_puzzles):
            raise InputError(
                f"test tasks such as {self.unknown[0]}, of which the model knows none",
                "the tasks that it was trained on, or --task-id blank",
                "train on this data set, or use --task-id blank",
            )
        self.asked &= (self._ids >= 0) | ~known[tasks]
        self._ids = np.maximum(self._ids, 0)

    def of(self, number: int, index: int) -> int:
        """The id for question `index`, whose own id in the data set is `number`."""
        if self._mode != "random":
            return int(self._ids[number])
        own = self._own[int(self._names.task_of[number])]
        draws = uniforms(self._seed ^ _OTHER_TASK_STREAM, np.array([index]), _DRAWS)[0]
        candidates = 1 + np.floor(draws * (len(self._others.task_of) - 1)).astype(np.intp)
        foreign = candidates[self._others.task_of[candidates] != own]
        if len(foreign):
            return int(foreign[0])
        return int(np.flatnonzero((self._others.task_of != own) & (self._others.task_of >= 0))[0])


def known_ids(model: PuzzleModel, identifiers: list[str]) -> NDArray[np.int64]:
    """The model's own id for each name of a data set, -1 where it has none. [I]

    Raises:
        InputError: the model has neither names for its ids nor as many ids as the data set.
    """
    everything = np.arange(len(identifiers))
    rows = 0 if model.network.puzzle_emb is None else len(model.network.puzzle_emb.weights)
    if not model.identifiers:
        if rows != len(identifiers):
            raise InputError(
                f"a model of {rows} puzzle ids without names",
                f"{len(identifiers)} ids, as the data set has",
                "use the data set that it was trained on, or --task-id blank",
            )
        return everything
    if list(model.identifiers) == identifiers:
        return everything
    own = {read_name(name): number for number, name in reversed(list(enumerate(model.identifiers)))}
    return np.array([own.get(read_name(name), -1) for name in identifiers], dtype=np.int64)
