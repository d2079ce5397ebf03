"""What the threads that answer clients have in common: their start and end, and how much may be open at once."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, Protocol, TypeVar

from thinkling.serving.errors import BusyError, ServiceError


class Service(Protocol):
    """What an application starts, asks how it is, and ends."""

    @property
    def open(self) -> int:
        """Questions, texts or sequences that have not ended."""

    @property
    def alive(self) -> bool:
        """Whether requests are worked on."""

    def start(self) -> None:
        """Begin to work."""

    def close(self, timeout: float = 10.0) -> None:
        """Stop after what is being done; open requests hear a `ServiceError`."""


class ServiceThread(ABC):
    """A thread that answers clients.

    Args:
        doing: what it does, in a word: names the thread, and errors say it.
        most_open: questions, texts or sequences that may be open at once, waiting ones included.
    """

    def __init__(self, doing: str, most_open: int) -> None:
        self._doing, self._most_open = doing, most_open
        self._lock = threading.Condition()
        """Guards what clients and the thread share; notified when there is something to do."""
        self._open = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def open(self) -> int:
        """Questions, texts or sequences that have not ended."""
        return self._open

    @property
    def alive(self) -> bool:
        """Whether requests are worked on."""
        return self._thread is not None and self._thread.is_alive() and not self._closing

    def start(self) -> None:
        """Begin to work."""
        assert self._thread is None, "a service starts once"
        self._thread = threading.Thread(target=self._work, name=self._doing, daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop after what is being done; open requests hear a `ServiceError`.

        Args:
            timeout: seconds to wait for that.
        """
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    @abstractmethod
    def _work(self) -> None:
        """What the thread does from its start to its end."""

    def _admit(self, count: int) -> None:
        """Count so many more as open, and wake the thread. The caller holds the lock.

        Raises:
            BusyError: too many are open.
            ServiceError: the thread does not run.
        """
        if not self.alive:
            raise self._stopped()
        if self._open + count > self._most_open:
            raise BusyError(self._open)
        self._open += count
        self._lock.notify()

    def _stopped(self) -> ServiceError:
        return ServiceError(f"the server is not {self._doing}", status=503)

    def _failed(self) -> ServiceError:
        return ServiceError(f"{self._doing} failed; the server's log says why", status=500)


class Ticket(Protocol):
    """A request that was handed in; both are guarded by the service's lock."""

    open: int
    """What of it has not ended."""
    given_up: bool
    """Whether nobody waits for it any more."""


T = TypeVar("T", bound=Ticket)


class SteppingThread(ServiceThread, Generic[T]):
    """A service thread that works in steps: between two of them requests join and leave."""

    def __init__(self, doing: str, most_open: int) -> None:
        super().__init__(doing, most_open)
        self._arrived: deque[T] = deque()
        self._left: deque[T] = deque()

    def give_up(self, ticket: T) -> None:
        """Nobody waits for this request any more; what it holds is free before the next step."""
        with self._lock:
            if ticket.given_up or ticket.open == 0:
                return
            ticket.given_up = True
            self._left.append(ticket)
            self._lock.notify()

    def _hand_in(self, ticket: T) -> T:
        """Let a request join, as `_admit` allows it."""
        with self._lock:
            self._admit(ticket.open)
            self._arrived.append(ticket)
        return ticket

    def _came_and_left(self) -> tuple[list[T], list[T]]:
        """Those who came and those who left since it was asked last."""
        with self._lock:
            arrived, left = list(self._arrived), list(self._left)
            self._arrived.clear()
            self._left.clear()
        return arrived, left
