"""A trained puzzle model as a user holds it: the network, its task, how it halts.

Shapes: L positions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import read_config
from thinkling.artifacts.weights import load_into, read_model_weights, write_model_folder
from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError, nearest
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.identifiers import read_identifiers, write_identifiers
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.tasks.registry import get_task
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltingConfig, HaltRule, HaltRuleName
from thinkling.thinking.slots import SlotMachine
from thinkling.thinking.trace import SegmentTrace

Status = Literal["verified", "unverified", "unsolved"]
"""`verified`: the task's checker accepts the answer; `unsolved`: it does not; `unverified`: there is no checker."""

ARCHITECTURES = ("hrm", "trm")


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What came out for one question."""

    question: str
    """The question as asked."""
    answer: str
    """The model's answer."""
    tokens: NDArray[np.int64]
    """[L] the answer as tokens."""
    status: Status
    """What the task's checker says of it."""
    steps: int
    """Segments spent."""
    q_halt: float
    """Probability of being right, by the model's own halt value."""
    trace: tuple[SegmentTrace, ...]
    """One entry a segment; empty where not asked for."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys of `thinkling solve`."""
        return {"answer": self.answer, "status": self.status, "steps": self.steps, "q_halt": self.q_halt}


def halt_rule(name: HaltRuleName, halting: HaltingConfig, task: Task) -> HaltRule:
    """The stopping rule of a model's settings for its task.

    Raises:
        InputError: to stop at a valid answer was asked of a task that cannot tell one.
    """
    if name == "valid" and not task.has_checker:
        raise InputError(
            f"--halt valid for task {task.name}, which has no checker", "q, never", "use --halt q"
        )
    return HaltRule.of(name, halting, task.check_batch)


def build(architecture: str, settings: Mapping[str, Any], seed: int = 0) -> HRM | TRM:
    """The network of a config.json's `architecture` and `model` entries.

    Raises:
        InputError: unknown architecture or setting, with the nearest known one.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"architecture {architecture!r}", ", ".join(ARCHITECTURES), nearest(architecture, ARCHITECTURES)
        )
    if architecture == "hrm":
        return HRM(_settings(HRMConfig, settings, "model"), seed=seed)
    return TRM(_settings(TRMConfig, settings, "model"), seed=seed)


def _settings(kind: type[Any], settings: Mapping[str, Any], where: str) -> Any:
    known = [field.name for field in dataclasses.fields(kind)]
    for key in settings:
        if key not in known:
            raise InputError(f"{where}.{key} in config.json", ", ".join(known), nearest(key, known))
    return kind(**settings)


class PuzzleModel:
    """A puzzle model ready to solve. Made by `thinkling.load`."""

    def __init__(
        self,
        network: HRM | TRM,
        task: Task,
        halting: HaltingConfig,
        config: Mapping[str, Any],
        identifiers: Sequence[str] = (),
    ) -> None:
        self.network = network.eval()
        self.task = task
        self.halting = halting
        self.config = dict(config)
        self.identifiers = tuple(identifiers)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        device: str = "auto",
        compute_dtype: ComputeDtype = "auto",
        averaged: bool = True,
    ) -> PuzzleModel:
        """The model of a run folder or checkpoint folder.

        Args:
            folder: holds config.json and weights.
            device: auto, cpu, cuda or mps.
            compute_dtype: dtype of matrix products.
            averaged: take the averaged weights where there are any.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        config = read_config(folder)
        for key in ("architecture", "model", "task", "halting"):
            if key not in config:
                raise InputError(
                    f"{folder / 'config.json'} without {key!r}",
                    "the config of a puzzle run",
                    "use a run folder",
                )
        network = build(config["architecture"], config["model"])
        load_into(network, read_model_weights(folder, averaged=averaged))
        place = pick_device(device)
        network.to(place)
        network.compute_dtype = resolve_dtype(compute_dtype, place)
        names = read_identifiers(folder)
        halting = _settings(HaltingConfig, config["halting"], "halting")
        return cls(network, get_task(config["task"], names), halting, config, names)

    def solve(
        self,
        puzzle: str,
        *,
        halt: HaltRuleName | None = None,
        steps: int | None = None,
        validate: bool = True,
        puzzle_name: str = "",
    ) -> Solution:
        """Solve one puzzle.

        Args:
            puzzle: in the task's notation; for Sudoku row by row, `.` for a blank.
            halt: stop when the answer is valid, when the Q value says so, or never before the limit; None:
                when it is valid where the task has a checker, else by the Q value.
            steps: limit of segments; the trained one by default.
            validate: refuse questions that break the task's rules.
            puzzle_name: for tasks with named puzzles (ARC) the puzzle that the question belongs to.

        Raises:
            InputError: the puzzle is malformed, contradicts itself, or has not exactly one solution.
        """
        tokens = self.task.parse(puzzle)
        if validate:
            self.task.validate(tokens)
        puzzle_id = self.task.puzzle_id(puzzle_name)
        return next(
            self.solve_tokens([tokens], halt=halt, steps=steps, slots=1, trace=True, puzzle_id=puzzle_id)
        )

    def solve_tokens(
        self,
        questions: Iterable[NDArray[np.integer]],
        *,
        halt: HaltRuleName | None = None,
        steps: int | None = None,
        slots: int = 64,
        trace: bool = False,
        puzzle_id: int = 0,
    ) -> Iterator[Solution]:
        """Solve a stream of encoded questions [L]; answers come in input order, memory is bounded by the slots."""
        rule = halt or ("valid" if self.task.has_checker else "q")
        machine = SlotMachine(
            self.network,
            PuzzleBatch.of_questions,
            halt_rule(rule, self.halting, self.task),
            max_steps=self.halting.max_steps if steps is None else steps,
            slots=slots,
            trace=trace,
        )
        in_work: dict[int, NDArray[np.integer]] = {}

        def remembered() -> Iterator[Question]:
            for index, tokens in enumerate(questions):
                in_work[index] = tokens
                yield Question(inputs=tokens, puzzle_id=puzzle_id)

        with weights_cast_once(self.network, self.network.compute_dtype):
            for answer in machine.answers(remembered()):
                question = in_work.pop(answer.index)
                yield Solution(
                    question=self.task.format(question),
                    answer=self.task.format(answer.tokens),
                    tokens=answer.tokens,
                    status=self._status(question, answer.tokens),
                    steps=answer.steps,
                    q_halt=answer.q_halt,
                    trace=answer.trace,
                )

    def _status(self, question: NDArray[np.integer], answer: NDArray[np.integer]) -> Status:
        if not self.task.has_checker:
            return "unverified"
        return "verified" if self.task.check_batch(question[None], answer[None])[0] else "unsolved"

    def halting_with(
        self, *, threshold: float | None = None, confirmations: int | None = None
    ) -> HaltingConfig:
        """The model's halting settings, with some of them replaced."""
        return dataclasses.replace(
            self.halting,
            threshold=self.halting.threshold if threshold is None else threshold,
            confirmations=self.halting.confirmations if confirmations is None else confirmations,
        )

    def on_grid(self, rows: int, columns: int) -> PuzzleModel:
        """The same weights for grids of another size: with local mixing no weight depends on the size.

        What a model has learned on small mazes carries over to larger ones, as far as it does: measure it.

        Raises:
            InputError: the model mixes positions in another way, or its task has no sizes.
        """
        if self.network.config.mixing != "local" or self.task.name != "maze":
            raise InputError(
                f"a grid of {rows}x{columns} for a model of {self.task.name} with {self.network.config.mixing} mixing",
                "a maze model with local mixing",
                "train a model on grids of this size",
            )
        sizes = {"rows": rows, "columns": columns}
        task = get_task(self.task.settings() | sizes)
        model = {**self.config["model"], **sizes, "seq_len": task.seq_len}
        network = build(self.config["architecture"], model)
        load_into(network, self.network.state_dict())
        network.to(self.network.device)
        network.compute_dtype = self.network.compute_dtype
        config = {**self.config, "model": model, "task": task.settings()}
        return PuzzleModel(network, task, self.halting, config)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that `thinkling.load` opens: config.json and safetensors weights."""
        write_model_folder(Path(folder), self.config, self.network.state_dict())
        write_identifiers(Path(folder), self.identifiers)

    @property
    def params(self) -> int:
        """Trained values, puzzle embeddings included."""
        return count_params(self.network)


def count_params(network: HRM | TRM) -> int:
    """Trained values of a network, puzzle embeddings included."""
    embedding = 0 if network.puzzle_emb is None else network.puzzle_emb.weights.numel()
    return sum(parameter.numel() for parameter in network.parameters()) + embedding
