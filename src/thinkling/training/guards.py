"""What keeps weights safe: poisoned steps are not taken, and a wish to stop is heard at the end of a step."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal

import torch
from torch import Tensor

IN_A_ROW = 3
"""Poisoned steps in a row after which the weights themselves are suspected and rolled back."""
ROLLBACKS = 3
"""Roll-backs after which training gives up."""

Verdict = Literal["update", "skip", "roll back", "stop"]


@dataclass
class Guard:
    """Counts poisoned steps: those whose loss or gradient norm is not finite."""

    in_a_row: int = 0
    rollbacks: int = 0
    skipped: int = 0

    def judge(self, poisoned: bool) -> Verdict:
        """What to do with a step. The same answer on every rank, if `poisoned` is the same."""
        if not poisoned:
            self.in_a_row = 0
            return "update"
        self.in_a_row += 1
        self.skipped += 1
        if self.in_a_row % IN_A_ROW:
            return "skip"
        self.rollbacks += 1
        return "roll back" if self.rollbacks <= ROLLBACKS else "stop"


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether no tensor holds an infinity or NaN: a scalar bool where they are, which the host has yet to read."""
    flags = [torch.isfinite(tensor).all() for tensor in tensors]
    return torch.stack(flags).all() if flags else torch.tensor(True)


class StopRequest:
    """Inside the block, the first SIGTERM or Ctrl-C only sets `asked`; the second one leaves at once.

    Outside the main thread signals cannot be caught, and nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this step; once more to leave at once", file=sys.stderr, flush=True)
