"""`/v1/solve`: a client's request becomes chains of the service, and those an answer or a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from thinkling.errors import ThinklingError
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.errors import as_json, body_of
from thinkling.serving.examples import puzzle_examples
from thinkling.serving.http_body import json_body
from thinkling.serving.puzzle_service import PuzzleService, SolveWord
from thinkling.serving.request_schemas import SOLVE, body_schema
from thinkling.serving.settings import ServerSettings
from thinkling.serving.solve_jobs import Segment, Solved
from thinkling.serving.solve_request import Asked, SolveRequest, solve_request
from thinkling.serving.solve_response import result_json, segment_event
from thinkling.serving.streams import CLIENT_GONE, EventStream, Mailbox, event, unless_gone
from thinkling.tasks.search_rules import rules_of
from thinkling.tasks.task import Task


def puzzle_router(service: PuzzleService, model: PuzzleModel, settings: ServerSettings) -> APIRouter:
    """The route.

    Args:
        service: thinks.
        model: whose task and limit the requests are read by; nothing here runs it.
        settings: its name, and the limits.
    """
    router = APIRouter()
    mailboxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}
    task = model.task
    asked = Asked(task=task, limit=model.halting.max_steps, searchable=rules_of(task) is not None)
    example = {name: text for name, text in next(iter(puzzle_examples(task)), {}).items() if name != "name"}

    @router.post(
        "/v1/solve", openapi_extra=body_schema(SOLVE, example={**example, "samples": 2, "trace": True})
    )
    async def solve(request: Request) -> Response:
        """Solve one puzzle or several: `results` has an entry for each; with `stream` they come as events."""
        body = await json_body(request, settings.max_body_bytes)
        # In another thread: proving that a puzzle has one solution must not keep the other clients waiting.
        wanted = await run_in_threadpool(solve_request, body, asked, settings)
        loop = asyncio.get_running_loop()
        answers = _Answers(service, wanted, mailboxes.setdefault(loop, Mailbox(loop)))
        handed_on = False
        try:
            if wanted.stream:
                stream = _events(answers, task, wanted)
                handed_on = True
                return EventStream(stream, answers.give_up)
            solved = await unless_gone(request, answers.all())
            if solved is None:
                return Response(status_code=CLIENT_GONE)
            if wanted.trace:  # long lists of numbers
                values = await run_in_threadpool(_results, settings.model_name, task, solved, wanted)
            else:
                values = _results(settings.model_name, task, solved, wanted)
            return Response(values, media_type="application/json")
        finally:
            if not handed_on:
                answers.give_up()

    return router


class _Answers:
    """What the service says about one client's questions, for the client's event loop."""

    def __init__(self, service: PuzzleService, wanted: SolveRequest, mailbox: Mailbox) -> None:
        self._words: asyncio.Queue[SolveWord] = asyncio.Queue()
        self._open = len(wanted.questions)
        self._service = service

        def listen(word: SolveWord) -> None:
            mailbox.post(self._words.put_nowait, word)

        self._ticket = service.submit(wanted, listen)

    def give_up(self) -> None:
        """Free what the questions hold; nothing happens where they have ended."""
        self._service.give_up(self._ticket)

    async def each(self) -> AsyncIterator[Segment | Solved]:
        """Segments and ends of questions, until all have ended.

        Raises:
            ThinklingError: no more will come.
        """
        while self._open:
            word = await self._words.get()
            if isinstance(word, ThinklingError):
                raise word
            self._open -= isinstance(word, Solved)
            yield word

    async def all(self) -> list[Solved]:
        """The questions in the order of the request, once all have ended."""
        ended = [word async for word in self.each() if isinstance(word, Solved)]
        return sorted(ended, key=lambda solved: solved.index)


def _results(name: str, task: Task, solved: list[Solved], wanted: SolveRequest) -> bytes:
    results = [result_json(task, each, trace=wanted.trace, points=wanted.trace) for each in solved]
    return as_json({"model": name, "results": results})


async def _events(answers: _Answers, task: Task, wanted: SolveRequest) -> AsyncIterator[bytes]:
    """The events of a stream."""
    try:
        async for word in answers.each():
            if isinstance(word, Segment):
                yield event("segment", segment_event(task, word))
            else:
                result: dict[str, Any] = result_json(task, word, trace=wanted.trace, points=True)
                yield event("answer", {"index": word.index, **result})
    except ThinklingError as error:  # the status has been sent
        yield event("error", body_of(error)[1])
        return
    yield event("done", {})
