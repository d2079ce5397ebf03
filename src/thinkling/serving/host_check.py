"""Turning away requests that call this machine by another name than its own."""

from __future__ import annotations

from collections.abc import Collection

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from thinkling.serving.errors import RequestError, as_json, body_of


class HostCheck:
    """Middleware that compares the Host header with the allowed names.

    A web page can make a browser believe that its own name is this machine's address (DNS rebinding) and then ask
    what it likes; the header tells.

    Args:
        app: the application.
        allowed: names and addresses, without ports; empty: any.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with an error."""
        if scope["type"] in ("http", "websocket") and self._allowed:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            if _name(host) not in self._allowed:
                status, body = body_of(
                    RequestError(
                        f"a request to host {host!r}",
                        ", ".join(sorted(self._allowed)),
                        "use one of these, or start the server with --host",
                        code="host_not_allowed",
                        status=403,
                    )
                )
                answer = Response(as_json(body), status_code=status, media_type="application/json")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name(host: str) -> str:
    """A Host header without its port; `[::1]:8000` is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
