"""The threads that think about puzzles, and which of them gets a request.

A processor's cores are used better by two threads that each multiply small tensors on one core than by one thread whose
every product is divided over both and waited for: nothing has to be waited for, and while one thread is in Python the
other's product goes on. A request stays with the thread that has got it, so that its slots, its turns and its end are
matters of one thread.
"""

from __future__ import annotations

import logging
import threading

import torch

from thinkling.native import NotCompiledError
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.errors import BusyError
from thinkling.serving.metrics import Metrics
from thinkling.serving.puzzle_service import PuzzleInstruments, PuzzleService, SolveListener, SolveTicket
from thinkling.serving.settings import ServerSettings
from thinkling.serving.solve_request import SolveRequest
from thinkling.tasks.sudoku_proof import compile_proofs

_log = logging.getLogger(__name__)


class PuzzleTeam:
    """One or more thinking threads with the same model.

    Args:
        model: nobody else may use it meanwhile.
        settings: how many threads, the slots of each, and how many puzzles may wait.
        metrics: gets the instruments.
    """

    def __init__(self, model: PuzzleModel, settings: ServerSettings, metrics: Metrics) -> None:
        self._cores = torch.get_num_threads()
        count = settings.thinkers or (2 if model.network.device.type == "cpu" and self._cores > 1 else 1)
        instruments = PuzzleInstruments(metrics)
        share = self._share if count > 1 else None
        self._thinkers = [PuzzleService(model, settings, instruments, share) for _ in range(count)]
        # Another thread begins when those before it have so many questions: a segment of fewer costs more a question,
        # and a thread that thinks alone has all cores.
        self._enough = max(1, settings.slots // 2)
        self._proves = model.task.name == "sudoku"
        self._compiling = threading.Thread(target=_compile_proofs, name="proofs")
        self._most_open = settings.slots * count + settings.max_waiting_puzzles
        metrics.gauge("slots", "Chains that can be in work at once.", lambda: settings.slots * count)
        metrics.gauge("slots_in_work", "Chains in work.", lambda: self.in_work)

    @property
    def open(self) -> int:
        """Questions that have not ended."""
        return sum(thinker.open for thinker in self._thinkers)

    @property
    def in_work(self) -> int:
        """Slots that held a chain in the last segments."""
        return sum(thinker.in_work for thinker in self._thinkers)

    @property
    def alive(self) -> bool:
        """Whether requests are worked on."""
        return all(thinker.alive for thinker in self._thinkers)

    def start(self) -> None:
        """Begin to work."""
        for thinker in self._thinkers:
            thinker.start()
        if self._proves:
            self._compiling.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop after the segments that are being thought; open requests hear a `ServiceError`."""
        for thinker in self._thinkers:
            thinker.close(timeout)
        if self._compiling.is_alive():
            self._compiling.join(timeout)
        if len(self._thinkers) > 1:
            torch.set_num_threads(self._cores)  # a thread begins with what was set last

    def submit(self, request: SolveRequest, listener: SolveListener) -> SolveTicket:
        """Hand in a request to the first thread that is not busy, or to the one with the fewest open questions.

        Args:
            request: as `solve_request` returns it; its samples fit the slots.
            listener: called from the thread with what becomes of it.

        Raises:
            BusyError: too many questions are open.
            ServiceError: the thread does not run.
        """
        if self.open + len(request.questions) > self._most_open:
            raise BusyError(self.open)
        idle = (thinker for thinker in self._thinkers if thinker.open < self._enough)
        chosen = next(idle, None) or min(self._thinkers, key=lambda thinker: thinker.open)
        return chosen.submit(request, listener)

    def give_up(self, ticket: SolveTicket) -> None:
        """Nobody waits for this request any more; what it holds is free before its thread's next segment."""
        ticket.thinker.give_up(ticket)

    def _share(self) -> int:
        """Cores for a thread's next segment: those of threads that rest go to the others."""
        busy = sum(thinker.in_work > 0 for thinker in self._thinkers)
        return max(1, self._cores // max(1, busy))


def _compile_proofs() -> None:
    try:
        compile_proofs()
    except NotCompiledError as error:
        _log.info("Proofs of a single solution stay in Python: %s", error.given)
