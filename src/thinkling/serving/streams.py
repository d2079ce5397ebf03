"""Answers that come piece by piece, and answers that nobody waits for any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from thinkling.serving.errors import as_json

CLIENT_GONE = 499
"""Nobody reads this answer; the number is the one that other servers write into their logs then."""

PATIENCE = 0.2
"""Seconds that an answer may take before its client is watched for leaving."""

T = TypeVar("T")


class Mailbox:
    """Words from threads to an event loop, which is woken once for all that have come since.

    Waking it for each of the answers that one segment brings would cost more than the answers.

    Args:
        loop: that hears them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._words: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._woken = False

    def post(self, hear: Callable[[Any], None], word: Any) -> None:
        """Let `hear(word)` be called in the loop; from any thread.

        Raises:
            RuntimeError: the loop is closed.
        """
        self._words.append((hear, word))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First: a word that comes from now on wakes the loop again, at worst for nothing.
        self._woken = False
        while self._words:
            hear, word = self._words.popleft()
            hear(word)


def event(name: str, values: Any) -> bytes:
    """A named event of a stream (server-sent events, as the HTML standard defines them)."""
    return b"event: " + name.encode("ascii") + b"\ndata: " + as_json(values) + b"\n\n"


class EventStream(StreamingResponse):
    """A stream after which `on_end` is called, also where the client has left in the middle."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        # What stands between may neither keep pieces back nor keep the answer for others.
        super().__init__(content, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, then call `on_end`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def unless_gone(request: Request, work: Awaitable[T]) -> T | None:
    """The result of some work; None where the client has left before.

    Whether it has left is only looked at where the work takes longer than `PATIENCE`: the look costs more than a small
    answer.
    """
    working = asyncio.ensure_future(work)
    watching: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            continue
        gone = True
        working.cancel()

    def look() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    later = working.get_loop().call_later(PATIENCE, look)
    try:
        return await working
    except asyncio.CancelledError:
        if gone:
            return None
        raise
    finally:
        later.cancel()
        working.cancel()
        if watching is not None:
            watching.cancel()
