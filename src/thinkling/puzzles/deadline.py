"""Ending on time: a time limit, or a signal that asks to stop, whichever comes first.

A segment of a large model on a CPU takes many seconds, so waiting for the end of one is no way to keep a limit: a model
that is guarded looks before each of its blocks whether the end has come. A signal is only noted: an exception raised by
its handler could strike while any library holds a lock, and leave it locked.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Literal, NoReturn

from torch import nn
from torch.utils.hooks import RemovableHandle

from thinkling.data.batch import PuzzleBatch
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.thinker import Thinker

Ending = Literal["all", "time", "terminated", "interrupted"]
"""Why work ended: nothing left, the time limit, SIGTERM, or Ctrl-C."""

EXIT_CODES: dict[Ending, int] = {"all": 0, "time": 0, "terminated": 143, "interrupted": 130}
"""As a shell reports them: 128 and the number of the signal."""


class OutOfTimeError(Exception):
    """Raised in a segment of a guarded model when the end has come."""


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
        self._old: dict[int, Any] = {}
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Deadline:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def remaining(self) -> float:
        """Seconds until work stops."""
        return self._end - self.reserve - time.monotonic()

    def reserve_more(self, seconds: float) -> None:
        """Keep at least so many seconds for the end."""
        self.reserve = max(self.reserve, seconds)

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

    def check(self) -> None:
        """Go on while there is time.

        Raises:
            OutOfTimeError: the end has come.
        """
        if self.over:
            raise OutOfTimeError

    def guard(self, model: Thinker[PuzzleBatch]) -> Guarded:
        """The model, whose segments end in time for as long as this context lasts."""
        if isinstance(model, nn.Module):
            blocks = (module for module in model.modules() if next(module.children(), None) is not None)
            self._hooks += [block.register_forward_pre_hook(lambda *_: self.check()) for block in blocks]
        return Guarded(model, self)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.over:  # who asks twice will not wait
            signal.signal(number, self._old[number])
            signal.raise_signal(number)
        self.ending = "terminated" if number == signal.SIGTERM else "interrupted"


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
        self._deadline.check()
        carry, output = self._model.segment(carry, batch)
        self._seconds_per_slot = (time.monotonic() - began) / slots
        self.last = (batch, output)
        return carry, output
