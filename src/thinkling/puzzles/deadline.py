"""Ending on time: a time limit, or a signal that asks to stop, whichever comes first.

A segment of a large model on a CPU takes many seconds, so waiting for the end of one is no way to keep a limit. A timer
signal interrupts inside `Deadline.stoppable` blocks, between two operations of the model; elsewhere it is only noted.
Where there are no timer signals (Windows, other threads) the limit is kept between segments, by the time that the last
one took.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Literal, NoReturn

from thinkling.data.batch import PuzzleBatch
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.thinker import Thinker

Ending = Literal["all", "time", "terminated", "interrupted"]
"""Why work ended: nothing left, the time limit, SIGTERM, or Ctrl-C."""

EXIT_CODES: dict[Ending, int] = {"all": 0, "time": 0, "terminated": 143, "interrupted": 130}
"""As a shell reports them: 128 and the number of the signal."""


class OutOfTimeError(Exception):
    """Raised inside a stoppable block when the end has come."""


class Deadline:
    """A context inside which SIGTERM, Ctrl-C and the time limit end work in order.

    Args:
        limit: seconds; None for no limit.
        used: seconds of them that are gone already.
        reserve: seconds before the limit at which work stops, for what has to be done at the end.
    """

    def __init__(self, limit: float | None = None, *, used: float = 0.0, reserve: float = 0.0) -> None:
        self._end = math.inf if limit is None else time.monotonic() + limit - used
        self.reserve = reserve
        self.ending: Ending = "all"
        self._stoppable = False
        self._old: dict[int, Any] = {}
        self._has_timer = False

    def __enter__(self) -> Deadline:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)
            if hasattr(signal, "setitimer"):
                self._old[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_signal)
                self._has_timer = True
                self._set_timer()
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old, self._has_timer = {}, False

    def remaining(self) -> float:
        """Seconds until work stops."""
        return self._end - self.reserve - time.monotonic()

    def reserve_more(self, seconds: float) -> None:
        """Keep at least so many seconds for the end."""
        if seconds > self.reserve:
            self.reserve = seconds
            self._set_timer()

    @property
    def over(self) -> bool:
        """Whether work has to stop."""
        if self.ending == "all" and self.remaining() <= 0:
            self.ending = "time"
        return self.ending != "all"

    def out_of_time(self) -> NoReturn:
        """Stop now: what is left is not enough for what would come next."""
        if self.ending == "all":
            self.ending = "time"
        raise OutOfTimeError

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[None]:
        """A block that may be left at any instruction, by `OutOfTimeError`.

        Raises:
            OutOfTimeError: the end came before the block or inside it.
        """
        self._stoppable = True
        try:
            if self.over:
                raise OutOfTimeError
            yield
        finally:
            self._stoppable = False

    def guard(self, model: Thinker[PuzzleBatch]) -> Guarded:
        """The model, with every segment a stoppable block."""
        return Guarded(model, self)

    def _set_timer(self) -> None:
        if self._has_timer and math.isfinite(self._end):
            signal.setitimer(signal.ITIMER_REAL, max(self.remaining(), 1e-3))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.ending == "all":
            endings: dict[int, Ending] = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
            self.ending = endings.get(number, "time")
        if self._stoppable:
            self._stoppable = False
            raise OutOfTimeError


class Guarded:
    """A model whose segments end in time; made by `Deadline.guard`.

    Attributes:
        last: what the last whole segment was given and gave.
    """

    def __init__(self, model: Thinker[PuzzleBatch], deadline: Deadline) -> None:
        self._model = model
        self._deadline = deadline
        self._seconds_per_slot = 0.0
        self.last: tuple[PuzzleBatch, SegmentOutput] | None = None

    def fresh_carry(self, batch_size: int) -> Carry:
        """A carry whose slots are all halted."""
        return self._model.fresh_carry(batch_size)

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        """One segment.

        Raises:
            OutOfTimeError: the end came, or would come before the segment is done.
        """
        slots = len(batch.inputs)
        if self._deadline.remaining() < self._seconds_per_slot * slots:
            self._deadline.out_of_time()
        began = time.monotonic()
        with self._deadline.stoppable():
            carry, output = self._model.segment(carry, batch)
        self._seconds_per_slot = (time.monotonic() - began) / slots
        self.last = (batch, output)
        return carry, output
