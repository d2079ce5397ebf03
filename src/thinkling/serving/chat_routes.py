"""`/v1/chat/completions`: a client's request becomes sequences of the generation service, and those an answer."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from thinkling.data.chat_template import prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import ThinklingError
from thinkling.lm.request import Completion, Event
from thinkling.lm.request import Request as GenerationRequest
from thinkling.lm.sampling import SamplingConfig
from thinkling.serving.chat_request import ChatRequest, chat_request
from thinkling.serving.chat_response import DONE, Answer, line
from thinkling.serving.errors import RequestError, as_json, body_of
from thinkling.serving.generation_service import GenerationService, Started, Word
from thinkling.serving.http_body import json_body
from thinkling.serving.request_schemas import CHAT, body_schema
from thinkling.serving.settings import ServerSettings
from thinkling.serving.streams import CLIENT_GONE, EventStream, unless_gone


def chat_router(
    service: GenerationService, tokenizer: ChatTokenizer, context: int, settings: ServerSettings
) -> APIRouter:
    """The route.

    Args:
        service: generates.
        tokenizer: of the model.
        context: longest sequence of the model, in tokens.
        settings: defaults and limits.
    """
    router = APIRouter()

    def read(body: bytes) -> tuple[ChatRequest, list[GenerationRequest]]:
        asked = chat_request(body, settings)
        prompt = prompt_ids(tokenizer, list(asked.messages), enable_thinking=asked.enable_thinking)
        return asked, sequences(asked, prompt, context)

    @router.post("/v1/chat/completions", openapi_extra=body_schema(CHAT, required=["messages"]))
    async def complete(request: Request) -> Response:
        """Go on with a conversation, as OpenAI's interface has it."""
        body = await json_body(request, settings.max_body_bytes)
        # In another thread: cutting a long text into tokens must not keep the other clients waiting.
        asked, wanted = await run_in_threadpool(read, body)
        answer = Answer(
            number=f"chatcmpl-{uuid.uuid4().hex}", created=int(time.time()), model=settings.model_name
        )
        replies = _Replies(service, wanted, pieces=asked.stream)
        handed_on = False
        try:
            if asked.stream:
                await replies.started()
                stream = _chunks(replies, answer, asked)
                handed_on = True
                return EventStream(stream, replies.give_up)
            completions = await unless_gone(request, replies.completions())
            if completions is None:
                return Response(status_code=CLIENT_GONE)
            return Response(as_json(answer.whole(completions)), media_type="application/json")
        finally:
            if not handed_on:
                replies.give_up()

    return router


def sequences(asked: ChatRequest, prompt: list[int], context: int) -> list[GenerationRequest]:
    """What the engine is to generate: one sequence for each answer that is wanted.

    Args:
        asked: by the client.
        prompt: the conversation in tokens, ready for the answer.
        context: longest sequence of the model, in tokens.

    Raises:
        RequestError: the conversation fills the context.
    """
    room = context - len(prompt)
    if room < 1:
        raise RequestError(
            f"a conversation of {len(prompt)} tokens",
            f"at most {context - 1}, so that an answer fits into the context of {context}",
            "shorten it",
            param="messages",
            code="context_length_exceeded",
        )
    sampling = SamplingConfig(
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
        seed=secrets.randbits(63) if asked.seed is None else asked.seed,
    )
    return [
        GenerationRequest(
            prompt=prompt,
            max_tokens=room if asked.max_tokens is None else min(asked.max_tokens, room),
            sampling=sampling,
            sample=sample,
            think_budget=asked.think_budget,
            stop=asked.stop,
        )
        for sample in range(asked.n)
    ]


class _Replies:
    """What the service says about one client's sequences, for the client's event loop.

    Args:
        service: generates.
        wanted: the sequences.
        pieces: whether every token is of interest, or only the whole sequences.
    """

    def __init__(
        self, service: GenerationService, wanted: Sequence[GenerationRequest], *, pieces: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self._words: asyncio.Queue[Word] = asyncio.Queue()
        self._open = len(wanted)
        self._service = service

        def listen(word: Word) -> None:
            # Waking the loop for every token would slow the thread that generates.
            if pieces or not isinstance(word, tuple) or word[1].completion is not None:
                loop.call_soon_threadsafe(self._words.put_nowait, word)

        self._ticket = service.submit(wanted, listen)

    def give_up(self) -> None:
        """Free what the sequences hold; nothing happens where they have ended."""
        self._service.give_up(self._ticket)

    async def started(self) -> None:
        """Wait until the sequences are taken on.

        Raises:
            ThinklingError: they are not.
        """
        word = await self._next()
        assert isinstance(word, Started), "the first word is always this or an error"

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """The number of a sequence and what became of it, until all have ended.

        Raises:
            ThinklingError: no more will come.
        """
        while self._open:
            word = await self._next()
            if isinstance(word, tuple):
                self._open -= word[1].completion is not None
                yield word

    async def completions(self) -> list[Completion]:
        """The sequences once all have ended."""
        ended = {place: event.completion async for place, event in self.events()}
        return [completion for _, completion in sorted(ended.items()) if completion is not None]

    async def _next(self) -> Started | tuple[int, Event]:
        word = await self._words.get()
        if isinstance(word, ThinklingError):
            raise word
        return word


async def _chunks(replies: _Replies, answer: Answer, asked: ChatRequest) -> AsyncIterator[bytes]:
    """The events of a stream."""
    with_usage = asked.include_usage
    ended: list[Completion] = []
    for index in range(asked.n):
        yield answer.opening(index, with_usage=with_usage)
    try:
        async for index, event in replies.events():
            if event.text_piece:
                yield answer.piece(index, event.kind, event.text_piece, with_usage=with_usage)
            if event.completion is not None:
                ended.append(event.completion)
                yield answer.ending(index, event.completion.finish, with_usage=with_usage)
    except ThinklingError as error:  # the status has been sent; clients look for an error in the stream
        yield line(body_of(error)[1])
        return
    if with_usage:
        yield answer.totals(ended)
    yield DONE
