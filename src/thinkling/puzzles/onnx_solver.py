"""An exported puzzle model in onnxruntime: adaptive thinking in numpy alone, without torch.

Shapes: B slots in work, L positions, S = P + L positions with the puzzle prefix, D width, V vocabulary.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.artifacts.onnx_file import OURS, Session, metadata, open_session
from thinkling.artifacts.settings import settings_of
from thinkling.errors import InputError
from thinkling.puzzles.judging import halt_rule, status_of
from thinkling.puzzles.plugins import with_plugin
from thinkling.puzzles.solution import Solution
from thinkling.tasks.registry import get_task
from thinkling.thinking.halting import HaltingConfig, HaltRule, HaltRuleName
from thinkling.thinking.in_order import InOrder
from thinkling.thinking.trace import SegmentTrace

METADATA = "thinkling"
"""Name under which a file keeps, as JSON, what config.json says and the sizes of the carry."""
INPUTS = ("inputs", "puzzle_ids", "z_H", "z_L", "fresh")
"""Inputs of the graph: tokens [B, L] and puzzle ids [B] in int64, the carry [B, S, D] in fp32 twice, and [B] bool:
the row starts anew, whatever its carry holds."""
OUTPUTS = ("next_z_H", "next_z_L", "logits", "q_halt", "q_continue")
"""Outputs: the carry [B, S, D] after the segment, logits [B, L, V], and the Q values [B]."""


def is_puzzle_file(path: Path) -> bool:
    """Whether an ONNX file holds a puzzle model; an exported encoder keeps its settings under other names.

    Raises:
        InputError: onnxruntime is not installed, or the file is missing or damaged.
    """
    return METADATA in metadata(open_session(path))


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What one segment returns."""

    z_H: NDArray[np.float32]
    """[B, S, D] high-level state."""
    z_L: NDArray[np.float32]
    """[B, S, D] low-level state."""
    logits: NDArray[np.float32]
    """[B, L, V] answer logits."""
    q_halt: NDArray[np.float32]
    """[B] logit: the answer is exactly right."""
    q_continue: NDArray[np.float32]
    """[B] logit: the value of thinking on."""


@dataclass(frozen=True, kw_only=True)
class _Slots:
    """The questions in work; every field has one row a slot."""

    index: NDArray[np.int64]
    """[B] place of the question in the stream."""
    inputs: NDArray[np.int64]
    """[B, L] tokens."""
    z_H: NDArray[np.float32]
    """[B, S, D] high-level state."""
    z_L: NDArray[np.float32]
    """[B, S, D] low-level state."""
    steps: NDArray[np.int64]
    """[B] segments spent; 0: the next one starts anew."""
    agreed: NDArray[np.int64]
    """[B] segments in a row that were willing to stop."""
    traces: list[list[SegmentTrace]] = field(default_factory=list)
    """What each slot has said so far."""

    def select(self, kept: NDArray[np.int64]) -> _Slots:
        """The slots named."""
        return _Slots(
            index=self.index[kept],
            inputs=self.inputs[kept],
            z_H=self.z_H[kept],
            z_L=self.z_L[kept],
            steps=self.steps[kept],
            agreed=self.agreed[kept],
            traces=[self.traces[slot] for slot in kept],
        )


class OnnxSolver:
    """An exported puzzle model ready to solve, with the methods of a `PuzzleModel`. Made by `thinkling.load`.

    Args:
        session: an `onnxruntime.InferenceSession` of a graph written by `thinkling export onnx`.
        path: where it came from, for messages.
    """

    def __init__(self, session: Session, path: Path) -> None:
        kept = metadata(session)
        try:
            config = json.loads(kept[METADATA])
            self.positions, self.width = int(config["positions"]), int(config["width"])
            self.params = int(config["params"])
            names, task, halting = config["identifiers"], config["task"], config["halting"]
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} without the settings of a puzzle model", OURS, "export the run again"
            ) from None
        self.config: Mapping[str, Any] = config
        self.task = get_task(task, names)
        self.halting = settings_of(HaltingConfig, halting, "halting")
        self._session = session

    @classmethod
    def from_file(cls, path: str | Path, *, task: str | Path | None = None, threads: int = 0) -> OnnxSolver:
        """The model of a file written by `thinkling export onnx`.

        Args:
            path: the file.
            task: for a table a Python file with its checker; naming it here runs it.
            threads: in one operator; 0: as many as OMP_NUM_THREADS says, or one a core.

        Raises:
            InputError: onnxruntime is not installed, or the file is missing, damaged or of another origin.
        """
        model = cls(open_session(Path(path), threads=threads), Path(path))
        model.task = with_plugin(model.task, None if task is None else Path(task))
        return model

    def segment(
        self,
        inputs: NDArray[np.int64],
        puzzle_ids: NDArray[np.int64],
        z_H: NDArray[np.float32],
        z_L: NDArray[np.float32],
        fresh: NDArray[np.bool_],
    ) -> Segment:
        """One segment of every slot: tokens [B, L], puzzle ids [B], carry [B, S, D] twice, start anew [B]."""
        feeds = dict(zip(INPUTS, (inputs, puzzle_ids, z_H, z_L, fresh), strict=True))
        next_H, next_L, logits, q_halt, q_continue = self._session.run(list(OUTPUTS), feeds)
        return Segment(z_H=next_H, z_L=next_L, logits=logits, q_halt=q_halt, q_continue=q_continue)

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
        """Solve a stream of encoded questions [L]; answers come in input order, memory is bounded by the slots.

        Raises:
            InputError: a limit below 1, or to stop at a valid answer of a task that cannot tell one.
        """
        for name, value in (("slots", slots), ("steps", 1 if steps is None else steps)):
            if value < 1:
                raise InputError(f"{value} {name}", "1 or more", f"give another number of {name}")
        rule = halt_rule(halt or ("valid" if self.task.has_checker else "q"), self.halting, self.task)
        limit = self.halting.max_steps if steps is None else steps
        early = InOrder[Solution]()
        for index, solution in self._solutions(iter(questions), rule, limit, slots, trace, puzzle_id):
            yield from early.put(index, solution)

    def _solutions(
        self,
        questions: Iterator[NDArray[np.integer]],
        rule: HaltRule,
        limit: int,
        slots: int,
        trace: bool,
        puzzle_id: int,
    ) -> Iterator[tuple[int, Solution]]:
        """Place in the stream and solution, as the slots halt. A slot that halts takes the next waiting question."""
        waiting = enumerate(questions)
        work: _Slots | None = None
        while True:
            taken = list(itertools.islice(waiting, slots - (0 if work is None else len(work.index))))
            if taken:
                work = _joined(work, self._started(taken))
            if work is None or len(work.index) == 0:
                return
            said = self.segment(
                work.inputs,
                np.full(len(work.index), puzzle_id, dtype=np.int64),
                work.z_H,
                work.z_L,
                work.steps == 0,
            )
            answers = said.logits.argmax(-1)
            if trace:
                for slot, entry in enumerate(_entries(work.z_H, said, answers)):
                    work.traces[slot].append(entry)
            willing = rule.decide(said.q_halt, said.q_continue, answers=answers, questions=work.inputs)
            work = _Slots(
                index=work.index,
                inputs=work.inputs,
                z_H=said.z_H,
                z_L=said.z_L,
                steps=work.steps + 1,
                agreed=np.where(willing, work.agreed + 1, 0),
                traces=work.traces,
            )
            done = (work.agreed >= rule.needed) | (work.steps >= limit)
            q_halt = _sigmoid(said.q_halt)
            for slot in np.flatnonzero(done).tolist():
                question = work.inputs[slot]
                status = status_of(self.task, question, answers[slot])
                yield (
                    int(work.index[slot]),
                    Solution(
                        question=self.task.format(question),
                        answer=self.task.format(answers[slot]),
                        tokens=answers[slot],
                        status=status,
                        steps=int(work.steps[slot]),
                        q_halt=float(q_halt[slot]),
                        trace=tuple(work.traces[slot]),
                        solved_by="network" if status == "verified" else None,
                        segments=int(work.steps[slot]),
                    ),
                )
            if done.any():
                work = work.select(np.flatnonzero(~done))

    def _started(self, taken: list[tuple[int, NDArray[np.integer]]]) -> _Slots:
        """Slots for questions that have not been thought about."""
        state = np.zeros((len(taken), self.positions, self.width), dtype=np.float32)
        nothing = np.zeros(len(taken), dtype=np.int64)
        return _Slots(
            index=np.array([index for index, _ in taken], dtype=np.int64),
            inputs=np.stack([tokens for _, tokens in taken]).astype(np.int64),
            z_H=state,
            z_L=state,
            steps=nothing,
            agreed=nothing,
            traces=[[] for _ in taken],
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """An exported model has no weights to save.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"an exported model, to be saved in {folder}",
            "a model of a run folder",
            "copy the ONNX file, or save the run that it was exported from",
        )


def _joined(first: _Slots | None, second: _Slots) -> _Slots:
    """All slots of both."""
    if first is None:
        return second
    return _Slots(
        index=np.concatenate([first.index, second.index]),
        inputs=np.concatenate([first.inputs, second.inputs]),
        z_H=np.concatenate([first.z_H, second.z_H]),
        z_L=np.concatenate([first.z_L, second.z_L]),
        steps=np.concatenate([first.steps, second.steps]),
        agreed=np.concatenate([first.agreed, second.agreed]),
        traces=first.traces + second.traces,
    )


def _entries(before: NDArray[np.float32], said: Segment, answers: NDArray[np.int64]) -> list[SegmentTrace]:
    """What each slot said in a segment that began with the high-level state `before` [B, S, D]."""
    shifted = said.logits - said.logits.max(-1, keepdims=True)
    confidence = 1 / np.exp(shifted).sum(-1)  # softmax of the largest
    rows = (len(answers), -1)
    change = np.linalg.norm((said.z_H - before).reshape(rows), axis=1)
    size = np.linalg.norm(said.z_H.reshape(rows), axis=1)
    residual = change / np.maximum(size, 1e-12)
    q_halt, q_continue = _sigmoid(said.q_halt), _sigmoid(said.q_continue)
    return [
        SegmentTrace(
            tokens=answers[slot],
            confidence=confidence[slot],
            q_halt=float(q_halt[slot]),
            q_continue=float(q_continue[slot]),
            residual=float(residual[slot]),
        )
        for slot in range(len(answers))
    ]


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + e^-x), without overflow. [B]."""
    small = np.exp(-np.abs(x))
    value: NDArray[np.float32] = np.where(x >= 0, 1, small) / (1 + small)
    return value
