"""Many clients at once against the same puzzles without a server: what HTTP, waiting and sharing cost.

It measures wall-clock time: run it on a machine that does nothing else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator, Sequence
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
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Puzzles a second by a server under load, beside `solve_tokens` of the same model with as many slots.

    The clients run in a process of their own on the same machine. The time without a server is measured before and
    after the load, and the mean counts.

    Args:
        model: the model.
        puzzles: in its task's notation.
        clients: how many at once; each sends one puzzle and waits for its answer.
        seconds: how long they send.
        slots: of both.
        options: further fields of each request, such as samples.

    Returns:
        `throughput` (puzzles a second by the server, without one, and their ratio), `latency` (seconds: median, p95,
        p99, longest), `requests`, `errors`, `lost` (requests without an answer), `changed` (answers whose status is
        not what the model says without a server), and the hardware.

    Raises:
        InputError: no puzzles, or a count below 1.
    """
    for name, value in (("puzzles", len(puzzles)), ("clients", clients), ("slots", slots)):
        if value < 1:
            raise InputError(f"{value} {name}", "1 or more", f"give more {name}")
    if not 0 < seconds <= 3600:
        raise InputError(f"{seconds} seconds", "above 0, up to an hour", "give another time")
    expected, before = _offline(model, puzzles, slots)
    # spawn: a fork of a process with threads may wait for ever.
    with _served(model, slots) as (host, port), multiprocessing.get_context("spawn").Pool(1) as pool:
        load = pool.apply(
            run_clients,
            (host, port, list(puzzles)),
            {"clients": clients, "seconds": seconds, "options": options or {}},
        )
    _, after = _offline(model, puzzles, slots)
    return _report(load, expected, (before + after) / 2) | {
        "clients": clients,
        "slots": slots,
        "params": model.params,
        "hardware": hardware(),
    }


def _report(load: Load, expected: Sequence[str], offline: float) -> dict[str, Any]:
    served = len(load.answered) / load.seconds
    quantiles = (
        np.quantile(load.latencies, [0.5, 0.95, 0.99, 1.0]).round(4).tolist() if load.latencies else []
    )
    return {
        "throughput": {
            "server": round(served, 1),
            "offline": round(offline, 1),
            "ratio": round(served / offline, 3),
        },
        "latency": dict(zip(("median", "p95", "p99", "longest"), quantiles, strict=False)),
        "requests": load.sent,
        "errors": len(load.errors),
        "first_error": load.errors[0] if load.errors else "",
        "lost": load.sent - len(load.answered),
        "changed": sum(status != expected[number] for number, status, _ in load.answered),
        "verified": sum(status == "verified" for _, status, _ in load.answered),
        "seconds": round(load.seconds, 1),
    }


def _offline(model: PuzzleModel, puzzles: Sequence[str], slots: int) -> tuple[list[str], float]:
    """What the model says of each puzzle, and puzzles a second."""
    questions = [model.task.parse(puzzle) for puzzle in puzzles]
    for question in questions:  # the server does so, too
        model.task.validate(question)
    statuses: list[str] = []
    solved = 0
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < _LEAST_OFFLINE_SECONDS or not solved:
        statuses = [solution.status for solution in model.solve_tokens(questions, slots=slots)]
        solved += len(statuses)
    return statuses, solved / spent


@contextlib.contextmanager
def _served(model: PuzzleModel, slots: int) -> Iterator[tuple[str, int]]:
    """A server of a model on a free port of this machine."""
    app = create_app(model, ServerSettings(slots=slots))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
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
