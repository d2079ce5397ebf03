"""Many clients at once against the same puzzles without a server: what HTTP, waiting and sharing cost.

It measures wall-clock time: run it on a machine that does nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn

from thinkling.artifacts.provenance import hardware
from thinkling.errors import InputError
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.app import create_app
from thinkling.serving.load_clients import Load, run_clients
from thinkling.serving.settings import ServerSettings

_LEAST_OFFLINE_SECONDS = 2.0
_SECONDS_TO_START = 30.0


def bench_serve(
    model: PuzzleModel,
    puzzles: Sequence[str],
    *,
    clients: int = 64,
    seconds: float = 60.0,
    slots: int = 64,
    per_request: int = 1,
    thinkers: int = 0,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Puzzles a second by a server under load, beside `solve_tokens` of the same model with as many slots.

    The clients run in a process of their own on the same machine. The time without a server is measured before and
    after the load, and the mean counts.

    Args:
        model: the model.
        puzzles: in its task's notation.
        clients: how many at once; each sends a request and waits for its answer.
        seconds: how long they send.
        slots: of both; of the server for each of its thinking threads.
        per_request: puzzles of a request.
        thinkers: thinking threads of the server; 0: as it chooses itself.
        options: further fields of each request, such as samples.

    Returns:
        `throughput` (puzzles a second by the server, without one, and their ratio), `latency` (of a request, in
        seconds: median, p95, p99, longest), `cpu_ms` (milliseconds of the processor a puzzle: without a server; by
        the server's process; by the clients'), `slots_in_work` (mean of a segment of the server), `requests`,
        `puzzles` sent, `distinct` ones among them, `errors`, `lost` (puzzles without an answer), `changed` (answers
        whose status is not what the model says without a server), and the hardware.

    Raises:
        InputError: no puzzles, or a count below 1.
    """
    for name, value in (
        ("puzzles", len(puzzles)),
        ("clients", clients),
        ("slots", slots),
        ("per_request", per_request),
    ):
        if value < 1:
            raise InputError(f"{value} {name}", "1 or more", f"give more {name}")
    if not 0 < seconds <= 3600:
        raise InputError(f"{seconds} seconds", "above 0, up to an hour", "give another time")
    settings = ServerSettings(
        slots=slots, thinkers=thinkers, max_puzzles=max(per_request, ServerSettings.max_puzzles)
    )
    for puzzle in puzzles:  # one that the server would refuse has no place here
        model.task.validate(model.task.parse(puzzle))
    expected, before = _offline(model, puzzles, slots)
    # spawn: a fork of a process with threads may wait for ever.
    with _served(model, settings) as (host, port), multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(time.process_time)  # a process that begins takes much of the processor
        cpu = time.process_time()
        load = pool.apply(
            run_clients,
            (host, port, list(puzzles)),
            {"clients": clients, "seconds": seconds, "options": options or {}, "per_request": per_request},
        )
        cpu = time.process_time() - cpu
        slots_in_work = _slots_in_work(host, port)
    _, after = _offline(model, puzzles, slots)
    offline = _Speed(wall=(before.wall + after.wall) / 2, cpu=(before.cpu + after.cpu) / 2)
    return _report(load, expected, offline, cpu) | {
        "distinct": len(set(puzzles[: load.sent])),
        "slots_in_work": slots_in_work,
        "clients": clients,
        "slots": slots,
        "per_request": per_request,
        "params": model.params,
        "hardware": hardware(),
    }


@dataclass(frozen=True, kw_only=True)
class _Speed:
    """Seconds a puzzle."""

    wall: float
    """By the clock."""
    cpu: float
    """Of the processor, all cores together."""


def _report(load: Load, expected: Sequence[str], offline: _Speed, server_cpu: float) -> dict[str, Any]:
    served = len(load.answered) / load.seconds
    quantiles = (
        np.quantile(load.latencies, [0.5, 0.95, 0.99, 1.0]).round(4).tolist() if load.latencies else []
    )
    spent = {"offline": offline.cpu}
    if load.answered:
        spent |= {"server": server_cpu / len(load.answered), "clients": load.cpu_seconds / len(load.answered)}
    return {
        "throughput": {
            "server": round(served, 1),
            "offline": round(1 / offline.wall, 1),
            "ratio": round(served * offline.wall, 3),
        },
        "latency": dict(zip(("median", "p95", "p99", "longest"), quantiles, strict=False)),
        "cpu_ms": {name: round(1000 * seconds, 3) for name, seconds in spent.items()},
        "requests": load.requests,
        "puzzles": load.sent,
        "errors": len(load.errors),
        "first_error": load.errors[0] if load.errors else "",
        "lost": load.sent - len(load.answered),
        "changed": sum(status != expected[number] for number, status, _ in load.answered),
        "verified": sum(status == "verified" for _, status, _ in load.answered),
        "seconds": round(load.seconds, 1),
    }


def _offline(model: PuzzleModel, puzzles: Sequence[str], slots: int) -> tuple[list[str], _Speed]:
    """What the model says of each puzzle, and how long that takes; that it has one solution is known."""
    questions = [model.task.parse(puzzle) for puzzle in puzzles]
    statuses: list[str] = []
    solved = 0
    start, cpu = time.perf_counter(), time.process_time()
    while (spent := time.perf_counter() - start) < _LEAST_OFFLINE_SECONDS or not solved:
        statuses = [solution.status for solution in model.solve_tokens(questions, slots=slots)]
        solved += len(statuses)
    return statuses, _Speed(wall=spent / solved, cpu=(time.process_time() - cpu) / solved)


def _slots_in_work(host: str, port: int) -> float:
    """Mean over the segments that a server has thought."""
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS_TO_START)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    segments = float(values["thinkling_segment_seconds_count"])
    return round(float(values["thinkling_segments_total"]) / segments, 1) if segments else 0.0


@contextlib.contextmanager
def _served(model: PuzzleModel, settings: ServerSettings) -> Iterator[tuple[str, int]]:
    """A server of a model on a free port of this machine."""
    app = create_app(model, settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, proxy_headers=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            end = time.monotonic() + _SECONDS_TO_START
            while not server.started and time.monotonic() < end:
                time.sleep(0.01)
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join()
