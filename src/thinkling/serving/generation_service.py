"""One thread that generates for all clients: whoever comes joins the batch, whoever leaves frees the slot.

The thread owns the engine; nobody else touches it. Clients put requests into a list and are called back with what the
engine says, from that thread.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from thinkling.errors import InputError, ThinklingError
from thinkling.lm.request import Event, Request
from thinkling.serving.service_thread import SteppingThread

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """What the thread needs of a `GenerationEngine`."""

    @property
    def busy(self) -> bool:
        """Whether any request is open."""
        ...

    def add(self, request: Request) -> int:
        """Take a request on; the number that its events carry."""
        ...

    def cancel(self, number: int) -> None:
        """Forget a request."""
        ...

    def step(self) -> list[Event]:
        """One more token for each sequence in work."""
        ...


class Started:
    """The requests of a ticket have been taken on."""


Word: TypeAlias = Started | tuple[int, Event] | ThinklingError
"""What a client hears: first `Started`, then events with the number of the request within the ticket; or one error
(an `InputError` or a `ServiceError`), after which nothing more is said."""
Listener: TypeAlias = Callable[[Word], None]
"""Called from the thread; must return at once."""


class Ticket:
    """Requests that were handed in together.

    Args:
        requests: of one client.
        listener: hears what becomes of them.
    """

    def __init__(self, requests: Sequence[Request], listener: Listener) -> None:
        self.requests = tuple(requests)
        self.listener = listener
        self.open = len(self.requests)
        """Requests that have not ended. Guarded by the service's lock, as is `given_up`."""
        self.given_up = False
        self.numbers: dict[int, int] = {}
        """The engine's number of each open request, with its number in the ticket. The thread's own."""


class GenerationService(SteppingThread[Ticket]):
    """Runs an engine in a thread of its own.

    Args:
        make_engine: called in the thread, at its start and again after a step has failed.
        most_open: requests that may be open at once, waiting ones included.
    """

    def __init__(self, make_engine: Callable[[], Engine], *, most_open: int) -> None:
        super().__init__("generating", most_open)
        self._make_engine = make_engine
        self._tickets: dict[int, Ticket] = {}
        """By the engine's number of a request. The thread's own."""

    def submit(self, requests: Sequence[Request], listener: Listener) -> Ticket:
        """Hand in requests.

        Args:
            requests: to be generated, each an answer of its own.
            listener: called from the thread with what becomes of them.

        Raises:
            BusyError: too many are open.
            ServiceError: the service does not run.
        """
        return self._hand_in(Ticket(requests, listener))

    def _work(self) -> None:
        try:
            engine = self._make_engine()
            while self._wait(engine):
                try:
                    self._take_in(engine)
                    if engine.busy:
                        self._tell(engine, engine.step())
                except Exception as error:
                    # Whatever it is, the clients must hear and the next ones be served.
                    _log.error("generating failed", exc_info=error)
                    self._end_all(self._failed())
                    engine = self._make_engine()
        except Exception as error:
            _log.critical("no engine", exc_info=error)
        finally:
            with self._lock:
                self._closing = True
            self._end_all(self._stopped())

    def _wait(self, engine: Engine) -> bool:
        """Wait for something to do; False: stop."""
        with self._lock:
            while not (self._closing or self._arrived or self._left or engine.busy):
                self._lock.wait()
            return not self._closing

    def _take_in(self, engine: Engine) -> None:
        """Let those who came join and those who left go."""
        while (ticket := self._first(self._arrived)) is not None:
            self._take_on(engine, ticket)
        while (ticket := self._first(self._left)) is not None:
            self._drop(engine, ticket)

    def _first(self, tickets: deque[Ticket]) -> Ticket | None:
        with self._lock:
            return tickets.popleft() if tickets else None

    def _take_on(self, engine: Engine, ticket: Ticket) -> None:
        if ticket.given_up:
            return  # it is among those who left, too
        try:
            for place, request in enumerate(ticket.requests):
                number = engine.add(request)
                ticket.numbers[number] = place
                self._tickets[number] = ticket
        except InputError as error:
            self._drop(engine, ticket)
            self._say(ticket, error)
        except Exception:
            with self._lock:
                self._arrived.appendleft(ticket)  # it hears of the failure with the others
            raise
        else:
            self._say(ticket, Started())

    def _tell(self, engine: Engine, events: list[Event]) -> None:
        """Pass on what a step brought."""
        for event in events:
            ticket = self._tickets.get(event.number)
            if ticket is None:  # the last word of a request that was given up
                continue
            place = ticket.numbers[event.number]
            if event.completion is not None:
                del self._tickets[event.number], ticket.numbers[event.number]
                self._end(ticket, 1)
            if not self._say(ticket, (place, event)):
                self._drop(engine, ticket)

    def _drop(self, engine: Engine, ticket: Ticket) -> None:
        """Free what a ticket holds."""
        for number in ticket.numbers:
            engine.cancel(number)
            del self._tickets[number]
        ticket.numbers.clear()
        self._end(ticket, ticket.open)

    def _end_all(self, error: ThinklingError) -> None:
        """Every open request ends with an error."""
        arrived, left = self._came_and_left()
        for ticket in {*self._tickets.values(), *arrived, *left}:
            ticket.numbers.clear()
            self._end(ticket, ticket.open)
            self._say(ticket, error)
        self._tickets.clear()

    def _end(self, ticket: Ticket, count: int) -> None:
        with self._lock:
            ticket.open -= count
            self._open -= count

    @staticmethod
    def _say(ticket: Ticket, word: Word) -> bool:
        """Tell a client; False where it can be told no more."""
        if ticket.given_up:
            return True  # it has been dropped, or will be before the next step
        with contextlib.suppress(RuntimeError):  # the client's event loop is closed
            ticket.listener(word)
            return True
        return False
