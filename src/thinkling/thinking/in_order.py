"""Questions end out of order; their answers are handed on in order. Imports no torch."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 4
"""Answers may wait for an earlier one up to so many times the slots; then no further question is taken."""


class InOrder(Generic[T]):
    """Holds back what comes before its turn; the turns are numbered from 0."""

    def __init__(self) -> None:
        self._early: dict[int, T] = {}
        self._following = 0

    def __len__(self) -> int:
        """How many are held back."""
        return len(self._early)

    def put(self, number: int, value: T) -> list[T]:
        """Take what has this number; return whatever has its turn now, in order."""
        self._early[number] = value
        ready: list[T] = []
        while self._following in self._early:
            ready.append(self._early.pop(self._following))
            self._following += 1
        return ready
