"""A thread that thinks about the puzzles of many clients: their chains share the slots of one pool.

The thread owns the pool; nobody else touches it. Clients put requests into a list and are called back with what becomes
of them, from that thread. Between two segments those who came join and those who left free their slots. Every client
gets a slot in turn, so that a request with one puzzle does not wait behind one with hundreds.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError, ThinklingError
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.metrics import SECONDS, STEPS, Metrics
from thinkling.serving.service_thread import SteppingThread
from thinkling.serving.settings import ServerSettings
from thinkling.serving.solve_jobs import Job, Pool, Segment, Solved
from thinkling.serving.solve_request import SolveRequest
from thinkling.thinking.slot_pool import Progress, SlotPool

_log = logging.getLogger(__name__)

SolveWord: TypeAlias = Segment | Solved | ThinklingError
"""What a client hears: segments where it streams, each question's end, or one error, after which nothing more is
said."""
SolveListener: TypeAlias = Callable[[SolveWord], None]
"""Called from the thread; must return at once."""


class SolveTicket:
    """A request that was handed in.

    Args:
        request: of one client.
        listener: hears what becomes of it.
        thinker: works on it.
    """

    def __init__(self, request: SolveRequest, listener: SolveListener, thinker: PuzzleService) -> None:
        self.request = request
        self.listener = listener
        self.thinker = thinker
        self.open = len(request.questions)
        """Questions that have not ended. Guarded by the service's lock, as is `given_up`."""
        self.given_up = False
        self.waiting = deque(range(len(request.questions)))
        """Questions not begun. The thread's own, as is all that follows."""
        self.jobs: dict[int, Job] = {}
        """Questions in work, by their number."""
        self.has_turns = True
        """Whether it is among those that get slots in turn."""


class PuzzleInstruments:
    """What the threads of one server count.

    Args:
        metrics: gets the instruments.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.questions = metrics.counter("questions_total", "Questions ended.", ("status", "solved_by"))
        self.dropped = metrics.counter("questions_dropped_total", "Questions whose client had left.")
        self.segments = metrics.counter("segments_total", "Segments thought, counted for each slot.")
        self.steps = metrics.histogram("question_segments", "Segments spent on a question.", STEPS)
        self.seconds = metrics.histogram(
            "segment_seconds", "Time of one segment of all slots in work of a thread.", SECONDS
        )


class PuzzleService(SteppingThread[SolveTicket]):
    """Thinks in a thread of its own.

    Args:
        model: used by threads like this one alone.
        settings: slots, and how many puzzles may wait.
        instruments: count what it does.
        cores: asked before each segment how many cores it may use; None: all, always.
    """

    def __init__(
        self,
        model: PuzzleModel,
        settings: ServerSettings,
        instruments: PuzzleInstruments,
        cores: Callable[[], int] | None = None,
    ) -> None:
        super().__init__("thinking", settings.slots + settings.max_waiting_puzzles)
        self._model = model
        self._count = instruments
        self._cores = cores
        self._slots = settings.slots
        self._in_work = 0
        self._turns: deque[SolveTicket] = deque()
        """Tickets with something that could be put into the pool, in the order of their turns. The thread's own."""
        self._tickets: dict[SolveTicket, None] = {}
        """All that have not ended, in the order of their arrival. The thread's own."""

    @property
    def in_work(self) -> int:
        """Slots that held a chain in the last segment."""
        return self._in_work

    def submit(self, request: SolveRequest, listener: SolveListener) -> SolveTicket:
        """Hand in a request.

        Args:
            request: as `solve_request` returns it; its samples fit the slots.
            listener: called from the thread with what becomes of it.

        Raises:
            BusyError: too many questions are open.
            ServiceError: the service does not run.
        """
        return self._hand_in(SolveTicket(request, listener, self))

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        network = self._model.network
        try:
            with weights_cast_once(network, network.compute_dtype):
                pool = self._new_pool()
                while self._wait():
                    try:
                        self._take_in()
                        self._fill(pool)
                        self._think(pool)
                    except Exception as error:
                        # Whatever it is, the clients must hear and the next ones be served.
                        _log.error("thinking failed", exc_info=error)
                        self._end_all(self._failed())
                        pool = self._new_pool()
        except Exception as error:
            _log.critical("no pool of slots", exc_info=error)
        finally:
            with self._lock:
                self._closing = True
            self._end_all(self._stopped())

    def _new_pool(self) -> Pool:
        return SlotPool(
            self._model.network, PuzzleBatch.of_questions, slots=self._slots, trace=False, keep_logits=True
        )

    def _wait(self) -> bool:
        """Wait for something to do; False: stop."""
        with self._lock:
            while not (self._closing or self._arrived or self._left or self._tickets):
                self._in_work = 0
                self._lock.wait()
            return not self._closing

    def _take_in(self) -> None:
        """Let those who came join and those who left go."""
        arrived, left = self._came_and_left()
        self._tickets.update(dict.fromkeys(arrived))
        self._turns.extend(arrived)
        for ticket in left:
            self._count.dropped.add(count=ticket.open)
            self._drop(ticket)

    def _fill(self, pool: Pool) -> None:
        """Give free slots to the clients in turn."""
        broad = [ticket for ticket in self._tickets if ticket.request.thinking.samples > 1]
        for job in [job for ticket in broad for job in ticket.jobs.values() if job.wants_slots]:
            # Further chains of questions in work come first; what does not fit keeps its place until it does.
            if job.wants_slots > pool.free:
                return
            job.fill()
        idle = 0
        while self._turns and idle < len(self._turns) and pool.free:
            ticket = self._turns[0]
            idle = 0 if self._take_turn(pool, ticket) else idle + 1
            if ticket.waiting or any(job.searches for job in ticket.jobs.values()):
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
                ticket.has_turns = False

    def _take_turn(self, pool: Pool, ticket: SolveTicket) -> bool:
        """Let one search of a ticket go on, or begin its next question; False: there was nothing."""
        for job in ticket.jobs.values():
            if job.searches and job.fill():
                return True
        if not ticket.waiting:
            return False
        index = ticket.waiting.popleft()
        try:
            job = Job(self._model, ticket.request, index, pool, (ticket, index))
        except InputError as error:
            self._say(ticket, error)
            self._drop(ticket)
            return False
        ticket.jobs[index] = job
        return job.fill()

    def _think(self, pool: Pool) -> None:
        """One segment of everything in work."""
        # Kept for all slots alike, so only while somebody looks.
        pool.trace = any(
            ticket.request.trace or ticket.request.stream for ticket in self._tickets if ticket.jobs
        )
        pool.states = pool.trace
        self._in_work = pool.in_work
        if not self._in_work:
            return
        if self._cores is not None:
            torch.set_num_threads(self._cores())  # of this thread; it costs nothing where it changes nothing
        start = time.perf_counter()
        progress = pool.step()
        self._count.seconds.observe(time.perf_counter() - start)
        self._count.segments.add(count=self._in_work)
        for each in progress:
            self._tell(each)

    def _tell(self, progress: Progress) -> None:
        """Pass on what a segment brought to a part of one question."""
        key: Any = progress.key  # as `Job.fill` has put it
        (ticket, index), _ = key
        job = ticket.jobs.get(index)
        if job is None:  # another part of the question has ended it in the same segment
            return
        segment = job.take(progress)
        if segment is not None and ticket.request.stream:
            self._say(ticket, segment)
        solved = job.solved()
        if solved is None:
            if job.searches and not ticket.has_turns:
                self._turns.append(ticket)
                ticket.has_turns = True
            return
        del ticket.jobs[index]
        solution = solved.solution
        self._count.questions.add(solution.status, solution.solved_by or "nobody")
        self._count.steps.observe(solution.steps)
        self._end(ticket, 1)
        self._say(ticket, solved)

    def _drop(self, ticket: SolveTicket) -> None:
        """Free what a ticket holds."""
        for job in ticket.jobs.values():
            job.drop()
        self._forget(ticket)

    def _forget(self, ticket: SolveTicket) -> None:
        ticket.jobs.clear()
        ticket.waiting.clear()
        self._end(ticket, ticket.open)
        self._tickets.pop(ticket, None)

    def _end_all(self, error: ThinklingError) -> None:
        """Every open request ends with an error."""
        arrived, left = self._came_and_left()
        for ticket in {*self._tickets, *arrived, *left}:
            self._forget(ticket)
            self._say(ticket, error)
        self._turns.clear()

    def _end(self, ticket: SolveTicket, count: int) -> None:
        with self._lock:
            ticket.open -= count
            self._open -= count
        if not ticket.open:
            self._tickets.pop(ticket, None)

    def _say(self, ticket: SolveTicket, word: SolveWord) -> None:
        """Tell a client, unless it has left: then it has been dropped, or will be before the next segment."""
        if ticket.given_up:
            return
        try:
            ticket.listener(word)
        except RuntimeError:  # the client's event loop is closed
            self.give_up(ticket)
