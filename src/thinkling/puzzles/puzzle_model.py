"""A trained puzzle model as a user holds it: the network, its task, how it halts.

Shapes: L positions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import read_config
from thinkling.artifacts.settings import settings_of
from thinkling.artifacts.weights import load_into, read_model_weights, write_model_folder
from thinkling.data.batch import Question
from thinkling.errors import InputError, nearest
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.chain_pool import think
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.identifiers import read_identifiers, write_identifiers
from thinkling.puzzles.judging import halt_rule as halt_rule  # its users find it with the model
from thinkling.puzzles.solution import Solution
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.tasks.registry import get_task
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltingConfig, HaltRuleName

ARCHITECTURES = ("hrm", "trm")


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
        return HRM(settings_of(HRMConfig, settings, "model"), seed=seed)
    return TRM(settings_of(TRMConfig, settings, "model"), seed=seed)


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
        halting = settings_of(HaltingConfig, config["halting"], "halting")
        return cls(network, get_task(config["task"], names), halting, config, names)

    def solve(
        self,
        puzzle: str,
        *,
        halt: HaltRuleName | None = None,
        steps: int | None = None,
        validate: bool = True,
        puzzle_name: str = "",
        thinking: Thinking | None = None,
    ) -> Solution:
        """Solve one puzzle.

        Args:
            puzzle: in the task's notation; for Sudoku row by row, `.` for a blank.
            halt: stop when the answer is valid, when the Q value says so, or never before the limit; None:
                when it is valid where the task has a checker, else by the Q value.
            steps: limit of segments; the trained one by default.
            validate: refuse questions that break the task's rules.
            puzzle_name: for tasks with named puzzles (ARC) the puzzle that the question belongs to.
            thinking: how, where one chain of thought is not enough; `halt` and `steps` go before its own.

        Raises:
            InputError: the puzzle is malformed, contradicts itself, or has not exactly one solution.
        """
        tokens = self.task.parse(puzzle)
        if validate:
            self.task.validate(tokens)
        puzzle_id = self.task.puzzle_id(puzzle_name)
        samples = 1 if thinking is None else thinking.samples
        return next(
            self.solve_tokens(
                [tokens],
                halt=halt,
                steps=steps,
                slots=samples,
                trace=True,
                puzzle_id=puzzle_id,
                thinking=thinking,
            )
        )

    def solve_tokens(
        self,
        questions: Iterable[NDArray[np.integer]],
        *,
        halt: HaltRuleName | None = None,
        steps: int | None = None,
        slots: int = 64,
        trace: bool = False,
        states: bool = False,
        puzzle_id: int = 0,
        thinking: Thinking | None = None,
    ) -> Iterator[Solution]:
        """Solve a stream of encoded questions [L]; answers come in input order, memory is bounded by the slots.

        Args:
            questions: each [L].
            halt: as for `solve`.
            steps: as for `solve`.
            slots: chains in work at the same time.
            trace: keep what every segment said.
            states: keep the high-level state in the trace, for pictures of its path.
            puzzle_id: of all questions.
            thinking: as for `solve`.

        Raises:
            InputError: the task or the slots do not allow what is asked.
        """
        chosen = (thinking or Thinking()).with_limits(halt=halt, steps=steps)
        asked = (Question(inputs=tokens, puzzle_id=puzzle_id) for tokens in questions)
        with weights_cast_once(self.network, self.network.compute_dtype):
            for _, question in think(
                self.network,
                self.task,
                asked,
                chosen,
                halt_rule(chosen.halt_for(self.task), self.halting, self.task),
                max_steps=chosen.steps_or(self.halting.max_steps),
                slots=slots,
                trace=trace,
                states=states,
            ):
                yield question.solution()

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

    def save_pretrained(
        self, folder: str | Path, *, dtype: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        """Write a folder that `thinkling.load` opens: config.json and safetensors weights.

        Args:
            folder: where.
            dtype: of the weights in the file; bfloat16 halves it, and loading makes float32 of it again.
        """
        stored = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        weights = {name: tensor.to(stored) for name, tensor in self.network.state_dict().items()}
        write_model_folder(Path(folder), self.config, weights)
        write_identifiers(Path(folder), self.identifiers)

    @property
    def params(self) -> int:
        """Trained values, puzzle embeddings included."""
        return count_params(self.network)


def count_params(network: HRM | TRM) -> int:
    """Trained values of a network, puzzle embeddings included."""
    embedding = 0 if network.puzzle_emb is None else network.puzzle_emb.weights.numel()
    return sum(parameter.numel() for parameter in network.parameters()) + embedding
