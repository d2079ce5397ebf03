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
from thinkling.serving.puzzle_service import SolveListener, SolveWord
from thinkling.serving.puzzle_team import PuzzleTeam
from thinkling.serving.request_schemas import SOLVE, body_schema
from thinkling.serving.settings import ServerSettings
from thinkling.serving.solve_jobs import Segment, Solved
from thinkling.serving.solve_request import Asked, SolveRequest, quick_request, solve_request
from thinkling.serving.solve_response import result_json, segment_event
from thinkling.serving.streams import CLIENT_GONE, EventStream, Mailbox, event, unless_gone
from thinkling.tasks.search_rules import rules_of
from thinkling.tasks.task import Task


def puzzle_router(service: PuzzleTeam, model: PuzzleModel, settings: ServerSettings) -> APIRouter:
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
        wanted = quick_request(body, asked, settings)
        if wanted is None:
            # In another thread: proving that a puzzle has one solution must not keep the other clients waiting.
            wanted = await run_in_threadpool(solve_request, body, asked, settings)
        loop = asyncio.get_running_loop()
        mailbox = mailboxes.get(loop) or mailboxes.setdefault(loop, Mailbox(loop))
        if wanted.stream:
            answers = _Answers(service, wanted, mailbox)
            return EventStream(_events(answers, task, wanted), answers.give_up)
        answered: asyncio.Future[list[Solved] | ThinklingError] = loop.create_future()
        ticket = service.submit(wanted, _when_all(wanted, answered, mailbox))
        try:
            solved = await unless_gone(request, answered)
        finally:
            service.give_up(ticket)
        if solved is None:
            return Response(status_code=CLIENT_GONE)
        if isinstance(solved, ThinklingError):
            raise solved
        if wanted.trace:  # long lists of numbers
            values = await run_in_threadpool(_results, settings.model_name, task, solved, wanted)
        else:
            values = _results(settings.model_name, task, solved, wanted)
        return Response(values, media_type="application/json")

    return router


def _when_all(
    wanted: SolveRequest, answered: asyncio.Future[list[Solved] | ThinklingError], mailbox: Mailbox
) -> SolveListener:
    """A listener that says a word to the client's event loop once, when all questions have ended."""
    ended: list[Solved] = []

    def settle(word: list[Solved] | ThinklingError) -> None:
        if not answered.done():  # the client has left
            answered.set_result(word)

    def listen(word: SolveWord) -> None:
        if isinstance(word, ThinklingError):
            mailbox.post(settle, word)
        elif isinstance(word, Solved):
            ended.append(word)
            if len(ended) == len(wanted.questions):
                mailbox.post(settle, sorted(ended, key=lambda solved: solved.index))

    return listen


class _Answers:
    """What the service says about one client's questions as it says it, for the client's event loop."""

    def __init__(self, service: PuzzleTeam, wanted: SolveRequest, mailbox: Mailbox) -> None:
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
