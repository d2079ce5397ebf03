"""Clients that put a server under load: each sends a puzzle, waits for its answer, and sends the next.

They speak HTTP over plain sockets and import nothing of ours but this file, so that a process of them takes little of
the machine that is being measured.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Load:
    """What the clients of a process have seen."""

    sent: int = 0
    """Requests."""
    answered: list[tuple[int, str, str]] = field(default_factory=list)
    """Number of the puzzle, status and answer, for each answer."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a request to the last byte of its answer."""
    errors: list[str] = field(default_factory=list)
    """What else came."""
    seconds: float = 0.0
    """From the first request to the last answer."""


def run_clients(
    host: str, port: int, puzzles: Sequence[str], *, clients: int, seconds: float, options: dict[str, Any]
) -> Load:
    """Load a server for some time; requests that are open then are waited for.

    Args:
        host: of the server.
        port: of the server.
        puzzles: sent in turn, over and over.
        clients: how many at once, each with a connection of its own.
        seconds: how long new requests are sent.
        options: further fields of each request.
    """
    load = Load()
    asyncio.run(_all(load, host, port, puzzles, clients, seconds, options))
    return load


async def _all(
    load: Load,
    host: str,
    port: int,
    puzzles: Sequence[str],
    clients: int,
    seconds: float,
    options: dict[str, Any],
) -> None:
    bodies = [json.dumps({"puzzle": puzzle, **options}).encode() for puzzle in puzzles]
    start = time.perf_counter()
    end = start + seconds
    await asyncio.gather(*(_client(load, host, port, bodies, end) for _ in range(clients)))
    load.seconds = time.perf_counter() - start


async def _client(load: Load, host: str, port: int, bodies: Sequence[bytes], end: float) -> None:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        load.errors.append(f"no connection: {error}")
        return
    try:
        while time.perf_counter() < end:
            number = load.sent % len(bodies)
            load.sent += 1
            start = time.perf_counter()
            writer.write(_request(host, bodies[number]))
            status, body = await _answer(reader)
            load.latencies.append(time.perf_counter() - start)
            if status != 200:
                load.errors.append(f"{status}: {body[:200]!r}")
                continue
            result = json.loads(body)["results"][0]
            load.answered.append((number, result["status"], result["answer"]))
    except (OSError, EOFError, ValueError, KeyError) as error:
        load.errors.append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


def _request(host: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/solve HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer that says how long it is."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    return status, await reader.readexactly(int(length.partition(":")[2]))
