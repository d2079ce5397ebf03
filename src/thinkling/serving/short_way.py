"""The short way to a product's routes, which may be asked thousands of times a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from thinkling.errors import ThinklingError

Answer = Callable[[Request], Awaitable[Response]]
"""What a route does: it takes the request as it is and asks FastAPI for nothing."""


class ShortWay:
    """Middleware that calls the function of a route itself.

    FastAPI's own way (matching, dependencies, exit stacks, two layers that catch errors) costs as much as answering a
    small question. It describes these routes, answers whatever is no request for one of them, and would answer those,
    too, with the same function.

    Args:
        app: the application.
        routers: their routes have fixed paths and a function of the request alone.
        on_error: the answer to an error of ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        routers: Sequence[APIRouter],
        on_error: Callable[[Request, ThinklingError], Response],
    ) -> None:
        self._app = app
        self._on_error = on_error
        self._routes: dict[tuple[str, str], tuple[APIRoute, Answer]] = {
            (method, route.path): (route, route.endpoint)
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        found = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], answer = found
        request = Request(scope, receive, send)
        try:
            response = await answer(request)
        except ThinklingError as error:
            response = self._on_error(request, error)
        await response(scope, receive, send)
