"""`/v1/fill`: texts with masks, answered with candidates for each."""

from __future__ import annotations

import asyncio
from typing import Any, cast, get_args

from fastapi import APIRouter, Request, Response

from thinkling.errors import ThinklingError
from thinkling.serving.errors import RequestError, as_json
from thinkling.serving.fields import Fields, json_object
from thinkling.serving.fill_service import FillRequest, FillService
from thinkling.serving.http_body import json_body
from thinkling.serving.request_schemas import FILL, body_schema
from thinkling.serving.served_model import check_model, one_or_many
from thinkling.serving.settings import ServerSettings
from thinkling.serving.streams import CLIENT_GONE, unless_gone
from thinkling.thinking_bert.encoder_model import TextHalt
from thinkling.thinking_bert.fill_mask import Filled

EXAMPLE = {"text": "The capital of France is <mask>.", "top_k": 3}
"""A body that can be sent as it is."""


def fill_router(service: FillService, settings: ServerSettings) -> APIRouter:
    """The route.

    Args:
        service: fills.
        settings: the model's name, and the limits.
    """
    router = APIRouter()

    @router.post("/v1/fill", openapi_extra=body_schema(FILL, example=EXAMPLE))
    async def fill(request: Request) -> Response:
        """Fill the masks of a text, or of several (`texts`), which are answered by a list in `results`."""
        body = await json_body(request, settings.max_body_bytes)
        asked, several = fill_request(body, settings)
        loop = asyncio.get_running_loop()
        answered: asyncio.Queue[list[Filled] | ThinklingError] = asyncio.Queue()
        ticket = service.submit(
            asked, lambda word: cast(None, loop.call_soon_threadsafe(answered.put_nowait, word))
        )
        try:
            word = await unless_gone(request, answered.get())
        finally:
            service.give_up(ticket)
        if word is None:
            return Response(status_code=CLIENT_GONE)
        if isinstance(word, ThinklingError):
            raise word
        results = [filled_json(filled, asked) for filled in word]
        name = {"model": settings.model_name}
        values = name | ({"results": results} if several else results[0])
        return Response(as_json(values), media_type="application/json")

    return router


def fill_request(body: bytes, settings: ServerSettings) -> tuple[FillRequest, bool]:
    """The request in a body, and whether it asked for several texts.

    Raises:
        RequestError: no JSON object, an unknown field, a value out of its range, more than the server allows, or
            another model's name.
    """
    fields = Fields(json_object(body))
    fields.only(FILL)
    check_model(fields, settings.model_name)
    texts, _ = one_or_many(fields, "text", "texts", settings.max_puzzles)
    halt = fields.text("halt", "q")
    if halt not in get_args(TextHalt):
        raise fields.wrong("halt", "q, never", "nobody can check a text: use one of these")
    for number, text in enumerate(texts):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RequestError(
                f"text {number + 1} with half of a surrogate pair",
                "Unicode",
                "send whole characters",
                param="text",
            )
    request = FillRequest(
        texts=tuple(texts),
        top_k=fields.whole("top_k", 5, 1, settings.max_top_k) or 5,
        halt=cast(TextHalt, halt),
        steps=fields.whole("steps", None, 1, settings.max_steps),
        trace=fields.flag("trace", False),
    )
    return request, "texts" in fields


def filled_json(filled: Filled, asked: FillRequest) -> dict[str, Any]:
    """The keys of `thinkling fill --json`, without what other requests of the same round have asked for."""
    values = filled.as_json()
    for mask in values["masks"]:
        mask["candidates"] = mask["candidates"][: asked.top_k]
    if not asked.trace:
        values.pop("trace", None)
    return values
