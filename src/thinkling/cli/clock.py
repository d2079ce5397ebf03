"""When the command began, for time limits that count from its start."""

from __future__ import annotations

import time

_began: float | None = None


def start() -> None:
    """The command begins now."""
    global _began
    _began = time.monotonic()


def elapsed() -> float:
    """Seconds since the command began."""
    return 0.0 if _began is None else time.monotonic() - _began
