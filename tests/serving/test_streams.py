"""Waiting for an answer whose client may leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from thinkling.serving import streams
from thinkling.serving.streams import unless_gone


class Asking:
    """A request whose client leaves after some seconds."""

    def __init__(self, leaves_after: float) -> None:
        self.leaves_after, self.looks = leaves_after, 0

    async def receive(self) -> dict[str, Any]:
        self.looks += 1
        await asyncio.sleep(self.leaves_after)
        return {"type": "http.disconnect"}


async def work(seconds: float, ended: list[str]) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return "answer"


@pytest.mark.parametrize(
    ("seconds", "leaves_after", "result", "looks", "ended"),
    [
        (0, 10, "answer", 0, []),  # whoever gets an answer at once is not looked at
        (0.1, 10, "answer", 1, []),
        (10, 0.05, None, 1, ["cancelled"]),
        (10, 0, None, 1, ["cancelled"]),
    ],
)
def test_a_client_is_watched_once_the_answer_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    leaves_after: float,
    result: str | None,
    looks: int,
    ended: list[str],
) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.02)

    async def ask() -> None:
        request: Any = Asking(leaves_after)
        found: list[str] = []
        assert await unless_gone(request, work(seconds, found)) == result
        assert (request.looks, found) == (looks, ended)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "the watch ends with the answer"

    asyncio.run(ask())


def test_what_goes_wrong_and_who_stops_it_is_passed_on() -> None:
    async def fail() -> str:
        raise ZeroDivisionError

    async def ask() -> None:
        request: Any = Asking(10)
        with pytest.raises(ZeroDivisionError):
            await unless_gone(request, fail())
        ended: list[str] = []
        waiting = asyncio.create_task(unless_gone(request, work(10, ended)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == ["cancelled"]

    asyncio.run(ask())
