"""Reading the body of a request, so long as it is JSON and no longer than allowed."""

from __future__ import annotations

from fastapi import Request
from starlette.requests import ClientDisconnect

from thinkling.serving.errors import RequestError


async def json_body(request: Request, most_bytes: int) -> bytes:
    """The body of a request that says it is JSON.

    Args:
        request: as received.
        most_bytes: longest body.

    Raises:
        RequestError: another type of content (415; a web page of another origin can send only such without asking),
            or too long a body (413), which is read no further.
        ClientDisconnect: the client left before its end.
    """
    headers = dict(request.scope["headers"])
    kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            f"content-type {kind!r}",
            "application/json",
            "send JSON and say so",
            status=415,
            code="content_type",
        )
    said = headers.get(b"content-length", b"0").decode("latin-1")
    if said.isdecimal() and int(said) > most_bytes:
        raise _too_long(said, most_bytes)
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > most_bytes:
            raise _too_long(f"more than {most_bytes}", most_bytes)
        more = message.get("more_body", False)
    return bytes(body)


def _too_long(size: str, most_bytes: int) -> RequestError:
    return RequestError(
        f"a body of {size} bytes",
        f"at most {most_bytes} bytes",
        "send a shorter request",
        code="body_too_long",
        status=413,
    )
