"""Several threads that think about the puzzles of one server's clients."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from small_puzzles import KnowingNetwork, knowing_model, puzzles, serving_puzzles
from small_server import wait_for

from thinkling.data.batch import PuzzleBatch
from thinkling.native import NotCompiledError
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving import puzzle_team
from thinkling.serving.metrics import Metrics
from thinkling.serving.puzzle_team import PuzzleTeam
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.sudoku import Sudoku
from thinkling.thinking.carry import Carry, SegmentOutput

SETTINGS = ServerSettings(slots=4, thinkers=2)
PUZZLES = puzzles(30)
TASK = Sudoku(4)
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
"""A 9x9 Sudoku that takes two hundred guesses to prove."""


class Watched(KnowingNetwork):
    """Notes which thread has run each segment, and with how many cores."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.runs: list[tuple[int, int]] = []

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        self.runs.append((threading.get_ident(), torch.get_num_threads()))
        return super().segment(carry, batch)


def watched_model(**settings: Any) -> tuple[PuzzleModel, Watched]:
    network: Any = Watched(**settings)
    return PuzzleModel(network, TASK, knowing_model().halting, {"architecture": "hrm"}), network


def test_requests_are_shared_by_threads_that_share_the_cores() -> None:
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model, network = watched_model(needed=lambda tokens: 5, pause=0.005)
        with serving_puzzles(model, SETTINGS) as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda puzzle: client.solve(puzzle=puzzle), PUZZLES))
            assert "thinkling_slots 8" in client.call("GET", "/metrics")[1]
            network.runs.clear()
            assert client.solve(puzzle=PUZZLES[0])[0] == 200
            alone = set(network.runs)
        assert torch.get_num_threads() == 2, "the threads' share is theirs alone"
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(cores)
    for puzzle, (status, body) in zip(PUZZLES, answers, strict=True):
        assert status == 200
        assert body["results"][0]["answer"] == TASK.format(TASK.solve(TASK.parse(puzzle))[0])
    assert len({thread for thread, _ in alone}) == 1
    assert {threads for _, threads in alone} == {2}, "who thinks alone has all cores"


def test_the_second_thread_begins_when_the_first_has_enough_to_do() -> None:
    """Half of its slots. Each thread waits in its segment for the other's, so that none ends alone."""
    meeting = threading.Barrier(2, timeout=5)

    def needed(tokens: np.ndarray) -> int:
        meeting.wait()
        return 1

    model, network = watched_model(needed=needed)
    with serving_puzzles(model, SETTINGS) as client, ThreadPoolExecutor(2) as pool:
        asked = (PUZZLES[:2], PUZZLES[2:4])
        answers = list(pool.map(lambda chosen: client.solve(puzzles=chosen), asked))
    assert [status for status, _ in answers] == [200, 200]
    assert len({thread for thread, _ in network.runs}) == 2


def test_clients_that_leave_free_the_slots_of_every_thread() -> None:
    model, network = watched_model(needed=lambda tokens: 10_000, pause=0.005)
    with serving_puzzles(model, SETTINGS) as client:
        connections = [http.client.HTTPConnection(client.address, timeout=5) for _ in range(4)]
        for connection in connections:
            body = json.dumps({"puzzles": PUZZLES[:3], "steps": 1000})
            connection.request("POST", "/v1/solve", body, {"Content-Type": "application/json"})
        wait_for(lambda: "thinkling_slots_in_work 8" in client.call("GET", "/metrics")[1])
        assert client.call("GET", "/health")[1]["open"] == 12
        for connection in connections:
            connection.close()
        wait_for(lambda: client.call("GET", "/health")[1]["open"] == 0)
        wait_for(lambda: "thinkling_slots_in_work 0" in client.call("GET", "/metrics")[1])
        assert "thinkling_questions_dropped_total 12" in client.call("GET", "/metrics")[1]
    assert len({thread for thread, _ in network.runs}) == 2


def test_how_many_threads_there_are_where_nobody_says() -> None:
    """Two where torch has two cores or more; they are not started here."""
    cores = torch.get_num_threads()
    try:
        for threads, slots in ((1, 4), (2, 8)):
            torch.set_num_threads(threads)
            metrics = Metrics()
            PuzzleTeam(knowing_model(), ServerSettings(slots=4), metrics)
            assert f"thinkling_slots {slots}" in metrics.text()
    finally:
        torch.set_num_threads(cores)


@pytest.mark.parametrize("size", [4, 9])
@pytest.mark.parametrize("compiler", [True, False])
def test_proofs_are_compiled_where_there_is_a_compiler(
    size: int, compiler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def compile_proofs() -> None:
        asked.append(size)
        if not compiler:
            raise NotCompiledError("no compiler", "one", "install one")

    monkeypatch.setattr(puzzle_team, "compile_proofs", compile_proofs)
    network: Any = KnowingNetwork(size=size)
    model = PuzzleModel(network, Sudoku(size), knowing_model().halting, {"architecture": "hrm"})
    puzzle = HARD if size == 9 else PUZZLES[0]
    with serving_puzzles(model, SETTINGS) as client:
        assert client.solve(puzzle=puzzle)[0] == 200
    assert asked == [size]
