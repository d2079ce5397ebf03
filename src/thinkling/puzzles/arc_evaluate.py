"""Scoring a model on ARC as the benchmark does: many augmentations of each test grid, one vote, two attempts.

The un-augmented tasks are answered first, then one augmentation of every task after the other, so that an early end
leaves each task about the same number of votes. The submission is a valid one from the first moment on.

Shapes: N questions, L positions, I puzzle ids.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.artifacts.run_folder import write_text
from thinkling.data.batch import PuzzleBatch, Question
from thinkling.errors import InputError, ThinklingError
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.arc_questions import ArcQuestions, TaskIdMode, ToldIds
from thinkling.puzzles.deadline import Deadline, Guarded, OutOfTimeError
from thinkling.puzzles.evaluate import DEFAULT_SLOTS, Tally
from thinkling.puzzles.puzzle_model import PuzzleModel, halt_rule
from thinkling.tasks.arc_ballot import ATTEMPTS, ArcBallot
from thinkling.thinking.halting import HaltRuleName
from thinkling.thinking.slots import Answer, SlotMachine

SUBMISSION = "submission.json"
"""The submission's name in a run folder."""

PASSES = (1, 2, 5, 10, 100, 1000)
"""The k of the pass@k that are reported."""

_RENEW_SECONDS = 10.0
_RENEW_SHARE = 0.05
"""The submission is renewed this often, and never for more than this share of the time."""
_END_SECONDS = 1.0
"""Kept for scores and submission at the end of a time limit, besides what they took before."""
_ROUNDS = 8
"""How many rounds of questions a time limit should allow for."""
_SLOW_SECONDS = 0.2
"""A segment that takes longer is not timed twice."""
_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class ArcEvaluation:
    """How to evaluate on ARC."""

    submission: Path
    """The file to write: Kaggle's submission.json."""
    augmentations: int | None = None
    """Augmentations of each task besides the task itself; None: all that the data set names."""
    task_id: TaskIdMode = "correct"
    """Which puzzle id the model is told."""
    seed: int = 0
    """Chooses the ids of `task_id` "random"."""
    limit: int = 0
    """Only the first so many test tasks (0: all)."""
    halt: HaltRuleName = "q"
    """What stops a question."""
    threshold: float | None = None
    """For `halt` "q": least probability of being right; None: the model's own."""
    confirmations: int | None = None
    """For `halt` "q": further segments that must agree; None: the model's own."""
    max_steps: int = 0
    """Limit of segments (0: the trained one)."""
    slots: int = DEFAULT_SLOTS
    """Questions in work at once."""


_Vote: TypeAlias = tuple[int, NDArray[Any], NDArray[Any], float]
"""Puzzle id, inputs [L], answer [L] and halt value of a question."""


@dataclass(kw_only=True)
class _Progress:
    """What has been answered, and the votes not yet counted."""

    ballot: ArcBallot
    tally: Tally | None = None
    waiting: list[_Vote] = field(default_factory=list)
    written: float = 0.0
    """When the submission was written last, and how long it took."""
    took: float = 0.0
    seconds: float = 0.0

    def count(self) -> None:
        """Bring the waiting votes to the ballot."""
        if self.waiting:
            ids, inputs, answers, halts = zip(*self.waiting, strict=True)
            self.ballot.add(np.array(ids), np.stack(inputs), np.stack(answers), np.array(halts))
            self.waiting.clear()

    def write(self, path: Path) -> None:
        """Renew the submission: all of it or, where the disk refuses, nothing."""
        began = time.monotonic()
        self.count()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(self.ballot.submission()))
        except OSError as error:
            raise ThinklingError(f"cannot write {path}: {error}; choose another --submission") from error
        self.written = time.monotonic()
        self.took = self.written - began

    @property
    def due(self) -> bool:
        """Whether the submission should be renewed."""
        return time.monotonic() - self.written > max(_RENEW_SECONDS, self.took / _RENEW_SHARE)


def evaluate_arc(
    load_model: Callable[[], PuzzleModel], data: Path, settings: ArcEvaluation, deadline: Deadline
) -> dict[str, Any]:
    """Answers the test grids of an ARC data set under its augmentations, votes, scores, writes the submission.

    Args:
        load_model: gives the model; called when a first submission is written.
        data: the data set folder, ours or an official one.
        settings: how.
        deadline: when to end at the latest; entered by the caller.

    Returns:
        The contract's keys of `thinkling eval` over all questions answered, `pass@k`, `ended`, `submission` and more.
        What depends on answers that the data set does not know is None.

    Raises:
        InputError: no ARC data set, or one that does not fit the model.
    """
    questions = ArcQuestions.read(data, limit=settings.limit, augmentations=settings.augmentations)
    state = _Progress(ballot=ArcBallot(questions.test_puzzles, questions.identifiers))
    before = settings.submission.read_bytes() if settings.submission.is_file() else None
    state.write(settings.submission)
    deadline.reserve_more(_END_SECONDS + 3 * state.took)
    report: dict[str, Any] = {}
    try:
        with contextlib.suppress(OutOfTimeError):
            deadline.check()
            model = load_model()
            report = _answer(model, questions, settings, deadline, state)
    except InputError:
        # Bad usage leaves the file as it was.
        settings.submission.unlink()
        if before is not None:
            settings.submission.write_bytes(before)
        raise
    state.write(settings.submission)
    return _summary(state, questions, settings, deadline) | report


def _answer(
    model: PuzzleModel, questions: ArcQuestions, settings: ArcEvaluation, deadline: Deadline, state: _Progress
) -> dict[str, Any]:
    """Answers until all is done or the end comes; leaves the votes in `state`."""
    questions.check_fits(model)
    told = ToldIds(model, questions, settings.task_id, settings.seed)
    halting = model.halting_with(threshold=settings.threshold, confirmations=settings.confirmations)
    max_steps = settings.max_steps or halting.max_steps
    rule = halt_rule(settings.halt, halting, model.task)
    state.tally = tally = Tally(model.task, max_steps)
    in_work: dict[int, tuple[int, NDArray[Any], NDArray[Any]]] = {}

    def stream() -> Iterator[Question]:
        for index, question in enumerate(questions.stream(told.asked)):
            in_work[index] = question
            yield Question(inputs=question[1], puzzle_id=told.of(question[0], index))

    thinker = deadline.guard(model.network)
    began = time.perf_counter()
    with contextlib.suppress(OutOfTimeError), weights_cast_once(model.network, model.network.compute_dtype):
        slots = _slots_in_time(model, settings.slots, max_steps, deadline)
        machine = SlotMachine(thinker, PuzzleBatch.of_questions, rule, max_steps=max_steps, slots=slots)
        for answer in machine.answers(stream(), ordered=False):
            number, inputs, labels = in_work.pop(answer.index)
            tally.add(inputs, labels, answer)
            state.waiting.append((number, inputs, answer.tokens, _logit(answer)))
            state.seconds = time.perf_counter() - began
            if len(state.waiting) >= _BATCH:
                state.count()
            if state.due:
                state.write(settings.submission)
                deadline.reserve_more(_END_SECONDS + 3 * state.took)
            if deadline.over:
                break
    state.waiting += _unfinished(thinker, list(in_work.values()))
    return {"max_steps": max_steps, "params": model.params, "unknown_tasks": told.unknown}


def _unfinished(thinker: Guarded, in_work: list[tuple[int, NDArray[Any], NDArray[Any]]]) -> list[_Vote]:
    """What the questions still in work would have answered after their last segment: votes, though not scored."""
    if not in_work or thinker.last is None:
        return []
    batch, output = thinker.last
    rows = {row.tobytes(): number for number, row in enumerate(batch.inputs.cpu().numpy())}
    answers, halts = output.logits.argmax(-1).cpu().numpy(), output.q_halt.double().cpu().tolist()
    found = [(rows.get(inputs.astype(np.int64).tobytes()), number, inputs) for number, inputs, _ in in_work]
    return [(number, inputs, answers[row], halts[row]) for row, number, inputs in found if row is not None]


def _slots_in_time(model: PuzzleModel, asked: int, max_steps: int, deadline: Deadline) -> int:
    """How many slots let several rounds of questions end within the time limit; times a segment of one slot.

    On a CPU each slot costs as much as the first, so with too many none would be answered in time.
    """
    if math.isinf(deadline.remaining()):
        return asked
    carry = model.network.fresh_carry(1)
    device = carry.steps.device
    batch = PuzzleBatch(
        inputs=torch.zeros((1, model.task.seq_len), dtype=torch.int64, device=device),
        puzzle_ids=torch.zeros(1, dtype=torch.int64, device=device),
    )
    guarded = deadline.guard(model.network)
    seconds: list[float] = []
    while not seconds or (
        len(seconds) < 2 and seconds[0] < _SLOW_SECONDS
    ):  # the first one may be slow by accident
        began = time.monotonic()
        with torch.inference_mode():
            guarded.segment(carry, batch)
        seconds.append(time.monotonic() - began)
    slots = max(1, min(asked, int(deadline.remaining() / (_ROUNDS * min(seconds) * max_steps))))
    # An operation is not interrupted; a segment has far more than ten of them.
    deadline.reserve_more(_END_SECONDS + min(seconds) * slots / 10)
    return slots


def _logit(answer: Answer) -> float:
    """The halt value before the sigmoid, which the ballot takes."""
    q = answer.q_halt
    return math.inf if q >= 1 else -math.inf if q <= 0 else math.log(q / (1 - q))


def _summary(
    state: _Progress, questions: ArcQuestions, settings: ArcEvaluation, deadline: Deadline
) -> dict[str, Any]:
    """The report of what has been answered."""
    tally = state.tally or Tally(questions.task, 1)
    values = tally.score(state.seconds).as_json()
    passes = {f"pass@{k}": share for k, share in state.ballot.pass_at(PASSES).items()}
    right, grids = state.ballot.solved(ATTEMPTS)
    values |= passes | {"solved": right}
    if not questions.solved:
        unknown = ("exact_accuracy", "cell_accuracy", "wrong_but_confident", "solved", *passes)
        values |= dict.fromkeys(unknown)
    return values | {
        "tasks": len(questions.test_puzzles),
        "test_grids": grids,
        "predictions": state.ballot.predictions,
        "task_id": settings.task_id,
        "halt": settings.halt,
        "ended": deadline.ending,
        "submission": str(settings.submission),
    }
