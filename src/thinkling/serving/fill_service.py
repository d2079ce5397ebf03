"""One thread that fills masks for all clients: whoever waits when it becomes free is answered in the next round.

A text takes milliseconds, so nobody joins a round that has begun; those who come meanwhile share the next one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinkling.errors import InputError, ThinklingError
from thinkling.serving.metrics import SECONDS, STEPS, Metrics
from thinkling.serving.service_thread import ServiceThread
from thinkling.serving.settings import ServerSettings
from thinkling.thinking_bert.encoder_model import EncoderModel, TextHalt
from thinkling.thinking_bert.fill_mask import Filled

_log = logging.getLogger(__name__)

FillListener = Callable[[list[Filled] | ThinklingError], None]
"""Called once, from the thread, with what became of a request; must return at once."""


@dataclass(frozen=True, kw_only=True)
class FillRequest:
    """Texts of one client, and how to think about them."""

    texts: tuple[str, ...]
    """Each with a mask."""
    top_k: int
    """Candidates for each mask."""
    halt: TextHalt
    """What stops a text."""
    steps: int | None
    """Limit of rounds; None: the trained one."""
    trace: bool
    """Whether what every round said is wanted."""


@dataclass(kw_only=True)
class FillTicket:
    """A request that waits."""

    request: FillRequest
    listener: FillListener
    given_up: bool = False
    """Guarded by the service's lock."""


class FillService(ServiceThread):
    """Fills masks in a thread of its own.

    Args:
        model: nobody else may use it meanwhile.
        settings: how many texts may wait.
        metrics: gets the instruments.
    """

    def __init__(self, model: EncoderModel, settings: ServerSettings, metrics: Metrics) -> None:
        super().__init__("filling", settings.slots + settings.max_waiting_puzzles)
        self._model = model
        self._at_once = settings.slots
        self._waiting: list[FillTicket] = []
        self._texts = metrics.counter("texts_total", "Texts filled.")
        self._rounds = metrics.histogram("text_rounds", "Rounds spent on a text.", STEPS)
        self._seconds = metrics.histogram("fill_seconds", "Time of one round of the thread.", SECONDS)

    def submit(self, request: FillRequest, listener: FillListener) -> FillTicket:
        """Hand in a request.

        Raises:
            BusyError: too many texts wait.
            ServiceError: the service does not run.
        """
        ticket = FillTicket(request=request, listener=listener)
        with self._lock:
            self._admit(len(request.texts))
            self._waiting.append(ticket)
        return ticket

    def give_up(self, ticket: FillTicket) -> None:
        """Nobody waits for this request any more; it is not begun, or its answers are thrown away."""
        with self._lock:
            ticket.given_up = True
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._open -= len(ticket.request.texts)

    def _work(self) -> None:
        while tickets := self._next():
            start = time.perf_counter()
            try:
                self._answer(tickets)
            except Exception as error:
                # Whatever it is, the clients must hear and the next ones be served.
                _log.error("filling failed", exc_info=error)
                for ticket in tickets:
                    self._say(ticket, self._failed())
            finally:
                with self._lock:
                    self._open -= sum(len(ticket.request.texts) for ticket in tickets)
                self._seconds.observe(time.perf_counter() - start)
        with self._lock:
            left, self._waiting = self._waiting, []
            self._open = 0
        for ticket in left:
            self._say(ticket, self._stopped())

    def _next(self) -> list[FillTicket]:
        """Requests that can be answered together: one after the other, as many texts as there are slots."""
        with self._lock:
            while not (self._closing or self._waiting):
                self._lock.wait()
            if self._closing:
                return []
            first = self._waiting[0].request
            chosen: list[FillTicket] = []
            texts = 0
            for ticket in self._waiting:
                request = ticket.request
                if (request.halt, request.steps) != (first.halt, first.steps):
                    continue
                if chosen and texts + len(request.texts) > self._at_once:
                    break
                chosen.append(ticket)
                texts += len(request.texts)
            self._waiting = [ticket for ticket in self._waiting if ticket not in chosen]
            return chosen

    def _answer(self, tickets: Sequence[FillTicket]) -> None:
        """Fill the texts of all tickets together; each gets its own part."""
        requests = [ticket.request for ticket in tickets]
        try:
            found = list(self._filled([text for request in requests for text in request.texts], requests))
        except InputError:
            # Somebody's text is none; asked one by one, only its own client hears of it.
            for ticket in tickets:
                try:
                    self._tell(ticket, list(self._filled(ticket.request.texts, [ticket.request])))
                except InputError as error:
                    self._say(ticket, error)
            return
        for ticket in tickets:
            own, found = found[: len(ticket.request.texts)], found[len(ticket.request.texts) :]
            self._tell(ticket, own)

    def _filled(self, texts: Sequence[str], requests: Sequence[FillRequest]) -> list[Filled]:
        return list(
            self._model.fill_many(
                texts,
                top_k=max(request.top_k for request in requests),
                halt=requests[0].halt,
                steps=requests[0].steps,
                trace=any(request.trace for request in requests),
            )
        )

    def _tell(self, ticket: FillTicket, found: list[Filled]) -> None:
        self._texts.add(count=len(found))
        for filled in found:
            self._rounds.observe(filled.steps)
        self._say(ticket, found)

    @staticmethod
    def _say(ticket: FillTicket, word: list[Filled] | ThinklingError) -> None:
        if not ticket.given_up:
            with contextlib.suppress(RuntimeError):  # the client's event loop is closed
                ticket.listener(word)
