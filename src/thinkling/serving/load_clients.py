"""Clients that put a server under load: each sends puzzles, waits for their answers, and sends the next.

They speak HTTP over plain sockets and import nothing of ours but this file, so that a process of them takes little of
the machine that is being measured. Answers are looked into when all have come.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(kw_only=True)
class Load:
    """What the clients of a process have seen."""

    requests: int = 0
    """Requests sent."""
    sent: int = 0
    """Puzzles in them."""
    answered: list[tuple[int, str, str]] = field(default_factory=list)
    """Number of the puzzle, status and answer, for each answer."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a request to the last byte of its answer."""
    errors: list[str] = field(default_factory=list)
    """What else came."""
    seconds: float = 0.0
    """From the first request to the last answer."""
    cpu_seconds: float = 0.0
    """What the clients took of the processor in that time."""


def run_clients(
    host: str,
    port: int,
    puzzles: Sequence[str],
    *,
    clients: int,
    seconds: float,
    options: dict[str, Any],
    per_request: int = 1,
) -> Load:
    """Load a server for some time; requests that are open then are waited for.

    Args:
        host: of the server.
        port: of the server.
        puzzles: sent in turn, over and over.
        clients: how many at once, each with a connection of its own.
        seconds: how long new requests are sent.
        options: further fields of each request.
        per_request: puzzles of a request.
    """
    load = Load()
    requests = _requests(host, puzzles, per_request, options)
    answers: list[tuple[int, int, bytes]] = []
    asyncio.run(_all(load, answers, host, port, requests, clients, seconds, per_request))
    for number, status, body in answers:
        _look_into(load, number * per_request, len(puzzles), per_request, status, body)
    return load


def _requests(host: str, puzzles: Sequence[str], per_request: int, options: dict[str, Any]) -> list[bytes]:
    """The requests, in whose course every puzzle has its turn equally often."""
    turns = len(puzzles) if len(puzzles) % per_request else len(puzzles) // per_request
    found = []
    for turn in range(turns):
        chosen = [puzzles[(turn * per_request + place) % len(puzzles)] for place in range(per_request)]
        asked = {"puzzle": chosen[0]} if per_request == 1 else {"puzzles": chosen}
        body = json.dumps(asked | options).encode()
        head = (
            f"POST /v1/solve HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode("ascii") + body)
    return found


def _look_into(load: Load, first: int, puzzles: int, expected: int, status: int, body: bytes) -> None:
    if status != 200:
        load.errors.append(f"{status}: {body[:200]!r}")
        return
    try:
        results = json.loads(body)["results"]
        said = [
            ((first + place) % puzzles, result["status"], result["answer"])
            for place, result in enumerate(results)
        ]
    except (ValueError, KeyError, TypeError) as error:
        load.errors.append(f"{type(error).__name__}: {error}")
        return
    if len(said) != expected:
        load.errors.append(f"{len(said)} answers to {expected} puzzles")
    load.answered += said


class _Connection(asyncio.Protocol):
    """A connection on which one request is open at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Status and body of the answer, once all of it has come."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._answer.set_exception(ConnectionError("the server has closed the connection"))
        else:
            self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._received[:end]).lower()
        place = head.find(_LENGTH)
        if place < 0:
            self._answer.set_exception(ValueError("an answer that does not say how long it is"))
            return
        length = int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0])
        body = end + len(_END_OF_HEAD)
        if len(self._received) >= body + length:
            status, content = int(head[9:12]), bytes(self._received[body : body + length])
            del self._received[: body + length]
            self._answer.set_result((status, content))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or EOFError("the connection ended before the answer"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _all(
    load: Load,
    answers: list[tuple[int, int, bytes]],
    host: str,
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    per_request: int,
) -> None:
    async def client() -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
        except OSError as error:
            load.errors.append(f"no connection: {error}")
            return
        try:
            while time.perf_counter() < end:
                number = load.requests % len(requests)
                load.requests += 1
                load.sent += per_request
                sent = time.perf_counter()
                status, body = await connection.ask(requests[number])
                load.latencies.append(time.perf_counter() - sent)
                answers.append((number, status, body))
        except (OSError, EOFError, ValueError) as error:
            load.errors.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    start, cpu = time.perf_counter(), time.process_time()
    end = start + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds, load.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
