"""Puzzles over HTTP: what a client gets, alone and among others, and what is left when it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from small_puzzles import (
    LIMIT,
    Client,
    KnowingNetwork,
    knowing_model,
    puzzles,
    segments_needed,
    serving_puzzles,
)
from small_server import wait_for

from thinkling.data.batch import PuzzleBatch
from thinkling.puzzles.breadth import Thinking
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.search import search
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.sudoku import Sudoku
from thinkling.thinking.carry import Carry, SegmentOutput

SETTINGS = ServerSettings(model_name="tiny", slots=8, thinkers=1)
TASK = Sudoku(4)
PUZZLES = puzzles(30)


@pytest.fixture(scope="module")
def model() -> PuzzleModel:
    return knowing_model()


@pytest.fixture(scope="module")
def client(model: PuzzleModel) -> Iterator[Client]:
    """A server for the tests that leave it as it was."""
    with serving_puzzles(model, SETTINGS) as client:
        yield client


def solution(puzzle: str) -> str:
    return TASK.format(TASK.solve(TASK.parse(puzzle))[0])


def needed(puzzle: str) -> int:
    return segments_needed(TASK.parse(puzzle))


def test_one_puzzle(client: Client) -> None:
    status, body = client.solve(puzzle=PUZZLES[0])
    assert status == 200
    assert body["model"] == "tiny"
    (result,) = body["results"]
    assert result.pop("q_halt") == pytest.approx(1 / (1 + np.exp(-4)))
    steps = needed(PUZZLES[0])
    assert result == {
        "question": PUZZLES[0],
        "answer": solution(PUZZLES[0]),
        "status": "verified",
        "steps": steps,
        "limit": LIMIT,
        "segments": steps,
        "samples": 1,
        "solved_by": "network",
    }


def test_several_puzzles_are_answered_in_their_order(client: Client) -> None:
    status, body = client.solve(puzzles=PUZZLES, model="tiny")
    assert status == 200
    assert [result["question"] for result in body["results"]] == PUZZLES
    assert [result["answer"] for result in body["results"]] == [solution(puzzle) for puzzle in PUZZLES]
    assert [result["steps"] for result in body["results"]] == [needed(puzzle) for puzzle in PUZZLES]


def test_a_puzzle_that_is_not_solved_says_so(client: Client) -> None:
    puzzle = next(puzzle for puzzle in PUZZLES if needed(puzzle) > 2)
    _, body = client.solve(puzzle=puzzle, steps=2, halt="never")
    (result,) = body["results"]
    assert (result["status"], result["solved_by"], result["steps"], result["limit"]) == (
        "unsolved",
        None,
        2,
        2,
    )


def test_a_trace_tells_every_segment(client: Client) -> None:
    puzzle = next(puzzle for puzzle in PUZZLES if needed(puzzle) == 3)
    _, body = client.solve(puzzle=puzzle, trace=True)
    (result,) = body["results"]
    assert [entry["step"] for entry in result["trace"]] == [1, 2, 3]
    assert result["trace"][-1]["answer"] == result["answer"] != result["trace"][0]["answer"]
    for entry in result["trace"]:
        assert len(entry["confidence"]) == 16
        assert all(0 < value <= 1 for value in entry["confidence"])
        assert set(entry) == {"step", "answer", "confidence", "q_halt", "q_continue", "residual"}
    assert np.shape(result["points"]) == (3, 2)
    assert np.ptp(result["points"], axis=0).min() > 0


def test_a_stream_tells_what_the_trace_says(client: Client) -> None:
    chosen = [puzzle for puzzle in PUZZLES if needed(puzzle) > 1][:3]
    _, whole = client.solve(puzzles=chosen, trace=True)
    *events, last = client.events(puzzles=chosen)
    assert last == ("done", {})
    for index, expected in enumerate(whole["results"]):
        own = [(name, data) for name, data in events if data["index"] == index]
        trace = expected.pop("trace")
        assert own == [
            *(("segment", {"index": index} | segment) for segment in trace),
            ("answer", {"index": index} | expected),
        ]
        assert len(trace) == expected["steps"] > 1


def test_samples_do_what_they_do_without_a_server(client: Client, model: PuzzleModel) -> None:
    """Seeds are those of the stream of questions: the same request gives the same answer."""
    hard = [puzzle for puzzle in puzzles(40, first=50) if needed(puzzle) == 5][:4]
    fields: dict[str, Any] = {"samples": 6, "steps": 7, "select": "vote", "seed": 3}
    found = [client.solve(puzzles=hard, **fields)[1]["results"] for _ in range(2)]
    thinking = Thinking(samples=6, steps=7, select="vote", seed=3)
    offline = [
        solved.as_json()
        for solved in model.solve_tokens([TASK.parse(puzzle) for puzzle in hard], slots=8, thinking=thinking)
    ]
    for results in found:
        for result, expected in zip(results, offline, strict=True):
            assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert {result["samples"] for result in found[0]} == {6}


def test_breadth_is_told_from_the_network_alone() -> None:
    """The question itself is never solved, its copies are."""
    own = {TASK.parse(puzzle).tobytes() for puzzle in PUZZLES}
    model = knowing_model(needed=lambda tokens: 99 if tokens.astype(np.uint8).tobytes() in own else 1)
    with serving_puzzles(model, SETTINGS) as client:
        (result,) = client.solve(puzzle=PUZZLES[0], samples=4, trace=True)[1]["results"]
        assert (result["status"], result["solved_by"]) == ("verified", "breadth")
        assert result["answer"] == solution(PUZZLES[0]) == result["trace"][-1]["answer"]
        assert result["segments"] > result["steps"]


def test_search_does_what_it_does_without_a_server() -> None:
    model = knowing_model(needed=lambda tokens: 99)
    chosen = puzzles(6, blanks=11)
    with serving_puzzles(model, SETTINGS) as client:
        results = client.solve(puzzles=chosen, search=True, budget=200, steps=3)[1]["results"]
        short = client.solve(puzzles=chosen, search=True, budget=1, steps=3)[1]["results"]
        broad = client.solve(puzzles=chosen, search=True, samples=3, steps=3)[1]["results"]
        events = client.events(puzzle=chosen[0], search=True, steps=3)
    offline = search(
        model, [TASK.parse(puzzle) for puzzle in chosen], thinking=Thinking(steps=3), budget=200, slots=8
    )
    for result, expected in zip(results, offline, strict=True):
        assert result["answer"] == expected.answer
        assert result["segments"] == expected.segments
        assert (result["status"], result["solved_by"]) == ("verified", expected.solved_by)
        assert (result["search"], result["nodes"]) == ("answered", expected.nodes)
    assert {result["solved_by"] for result in results} == {"search"}
    assert {result["search"] for result in short} <= {"budget", "answered"}
    assert all(result["segments"] == 1 for result in short)
    assert all(result["status"] == "verified" for result in broad)
    assert [name for name, _ in events[-2:]] == ["answer", "done"]
    assert len(events) > 3


class SureOfItself(KnowingNetwork):
    """Its halt value says right whatever it answers."""

    def segment(self, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, SegmentOutput]:
        carry, output = super().segment(carry, batch)
        return carry, dataclasses.replace(output, q_halt=torch.full_like(output.q_halt, 4.0))


def test_a_search_follows_chains_that_are_sure_and_wrong() -> None:
    """In the segment in which the first chain ended them, the others were taken for nodes of the search."""
    network: Any = SureOfItself(needed=lambda tokens: 99)
    model = PuzzleModel(network, TASK, knowing_model().halting, {"architecture": "hrm"})
    with serving_puzzles(model, SETTINGS) as client:
        for samples in (2, 4):
            events = client.events(puzzle=PUZZLES[0], search=True, halt="q", samples=samples)
            assert [name for name, _ in events[-2:]] == ["answer", "done"]
            answer = events[-2][1]
            assert (answer["status"], answer["solved_by"]) == ("verified", "search")
            steps = [segment["step"] for name, segment in events if name == "segment"]
            assert len(steps) == 1 + answer["nodes"], "one of the chains, and one of each node"
            assert steps == sorted(set(steps)), (
                "numbered on, so that a page draws the search behind the chains"
            )


def test_many_clients_share_the_slots(client: Client, model: PuzzleModel) -> None:
    network: Any = model.network
    network.rows_a_segment.clear()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda puzzle: client.solve(puzzle=puzzle), PUZZLES * 4))
    for puzzle, (status, body) in zip(PUZZLES * 4, answers, strict=True):
        assert status == 200
        assert body["results"][0]["answer"] == solution(puzzle)
    assert 1 < max(network.rows_a_segment) <= 8


def test_one_puzzle_does_not_wait_behind_many() -> None:
    """Clients get slots in turn."""
    model = knowing_model(needed=lambda tokens: 4, pause=0.01)
    with serving_puzzles(model, ServerSettings(slots=4, thinkers=1)) as client, ThreadPoolExecutor(1) as pool:
        many = pool.submit(client.solve, puzzles=PUZZLES * 4)
        wait_for(lambda: client.call("GET", "/health")[1]["open"] > 0)
        assert client.solve(puzzle=PUZZLES[0])[0] == 200
        assert not many.done()
        assert many.result()[0] == 200


def test_a_question_with_many_chains_gets_its_slots_in_time() -> None:
    """It wants all slots while others always have one; they must not get ahead of it for ever."""
    model = knowing_model(needed=lambda tokens: 6, pause=0.002)
    with serving_puzzles(model, ServerSettings(slots=4, thinkers=1)) as client, ThreadPoolExecutor(3) as pool:
        others = [pool.submit(client.solve, puzzles=PUZZLES) for _ in range(2)]
        (result,) = client.solve(puzzle=PUZZLES[0], samples=4, steps=6, halt="never")[1]["results"]
        assert result["segments"] == 24
        assert all(other.result()[0] == 200 for other in others)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("extra", [{}, {"samples": 4}, {"search": True, "budget": 20_000}])
def test_a_client_that_leaves_frees_its_slots(stream: bool, extra: dict[str, Any]) -> None:
    model = knowing_model(needed=lambda tokens: 10_000, pause=0.005)
    settings = ServerSettings(slots=4, thinkers=1)
    with serving_puzzles(model, settings) as client:
        connection = http.client.HTTPConnection(client.address, timeout=5)
        body = {"puzzles": puzzles(8, blanks=12), "steps": 200, "stream": stream} | extra
        connection.request("POST", "/v1/solve", json.dumps(body), {"Content-Type": "application/json"})
        if stream:
            assert connection.getresponse().status == 200
        wait_for(lambda: client.call("GET", "/health")[1]["open"] == 8)
        connection.close()
        wait_for(lambda: client.call("GET", "/health")[1]["open"] == 0)
        model.network.needed = lambda tokens: 1  # type: ignore[assignment]  # a test's network
        assert client.solve(puzzle=PUZZLES[0])[1]["results"][0]["status"] == "verified"
        assert "thinkling_questions_dropped_total 8" in client.call("GET", "/metrics")[1]
        wait_for(lambda: "thinkling_slots_in_work 0" in client.call("GET", "/metrics")[1])


def test_a_full_server_says_when_to_come_back() -> None:
    model = knowing_model(needed=lambda tokens: 3, pause=0.02)
    with (
        serving_puzzles(model, ServerSettings(slots=2, thinkers=1, max_waiting_puzzles=2)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(client.solve, puzzles=PUZZLES[:4])
        wait_for(lambda: client.call("GET", "/health")[1]["open"] == 4)
        status, error = client.solve(puzzle=PUZZLES[0])
        assert (status, error["error"]["code"]) == (503, "overloaded")
        assert first.result()[0] == 200


def test_after_a_failure_the_next_ones_are_served(caplog: pytest.LogCaptureFixture) -> None:
    model = knowing_model()
    with serving_puzzles(model, SETTINGS) as client:
        model.network.fail_next_segment = True  # type: ignore[assignment]  # a test's network
        status, error = client.solve(puzzle=PUZZLES[0])
        assert (status, error["error"]["type"]) == (500, "server_error")
        assert "secret" not in json.dumps(error)
        model.network.fail_next_segment = True  # type: ignore[assignment]  # a test's network
        assert client.events(puzzle=PUZZLES[0])[-1][0] == "error"
        assert client.solve(puzzle=PUZZLES[0])[0] == 200
    assert "a secret of the machine" in caplog.text


def test_a_server_that_stops_leaves_no_thread_behind() -> None:
    before = thinking_threads()
    model = knowing_model(needed=lambda tokens: 10_000, pause=0.005)
    with ThreadPoolExecutor(1) as pool:
        with serving_puzzles(model, SETTINGS) as client:
            open_one = pool.submit(client.solve, puzzle=PUZZLES[0], steps=1000)
            wait_for(lambda: client.call("GET", "/health")[1]["open"] == 1)
            assert thinking_threads() != before
        assert thinking_threads() == before
        with contextlib.suppress(
            OSError, http.client.HTTPException
        ):  # its connection may just have been closed
            assert open_one.result()[0] >= 500


def thinking_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "thinking"}


def test_the_server_counts(client: Client) -> None:
    client.solve(puzzle=PUZZLES[0])
    metrics = client.call("GET", "/metrics")[1]
    assert 'thinkling_questions_total{status="verified",solved_by="network"}' in metrics
    assert 'thinkling_requests_total{route="/v1/solve",status="200"}' in metrics
    assert "thinkling_slots 8" in metrics
