"""The application: which model is served, what answers for it, and how errors look."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from thinkling import __version__
from thinkling.errors import ThinklingError
from thinkling.serving.docs_page import docs_page
from thinkling.serving.errors import RequestError, as_json, body_of, error_body
from thinkling.serving.host_check import HostCheck
from thinkling.serving.metrics import CONTENT_TYPE, Metrics, RequestMetrics
from thinkling.serving.page_routes import SAFETY_HEADERS, page_files, page_router
from thinkling.serving.parts import DESCRIPTIONS, Part, part_of
from thinkling.serving.service_thread import Service
from thinkling.serving.settings import ServerSettings
from thinkling.serving.short_way import ShortWay


def create_app(model: Any, settings: ServerSettings, *, examples: Path | None = None) -> FastAPI:
    """An application that serves a model; it begins to work when it is started and ends with it.

    Args:
        model: a puzzle model, an encoder that fills masks, or a language model, as `thinkling.load` returns it.
            Nobody else may use it meanwhile.
        settings: limits and defaults.
        examples: for puzzles a CSV file whose questions the page offers.

    Raises:
        InputError: a language model that has not been trained on conversations, a classifier, or a file of examples
            that does not fit the model.
    """
    metrics = Metrics()
    part = part_of(model, settings, metrics, examples)
    metrics.gauge("open", "Questions, texts or sequences that have not ended.", lambda: part.service.open)

    @asynccontextmanager
    async def working(app: FastAPI) -> AsyncIterator[None]:
        part.service.start()
        # What there is now stays while the server works: the collector need not look through all of it once in a few
        # thousand requests, a tenth of a second each time.
        gc.freeze()
        yield
        gc.unfreeze()
        part.service.close()

    app = _frame(settings, metrics, part, working)
    described = _described(settings.model_name, part)
    for router in part.routers:
        app.include_router(router)
    app.include_router(_models_router(settings.model_name, described))
    app.include_router(_state_router(part.service, metrics))
    app.include_router(_docs_router(app))
    app.include_router(page_router(page_files(), manifest(settings.model_name, part)))
    return app


def manifest(name: str, part: Part) -> dict[str, Any]:
    """What the page must know before it asks anything.

    Args:
        name: of the model.
        part: what is served.
    """
    return {
        "backend": "http",
        "product": part.product,
        "name": name,
        "description": _described(name, part),
        "examples": part.examples,
    }


def _described(name: str, part: Part) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "thinkling",
        **part.details,
    }


def _frame(settings: ServerSettings, metrics: Metrics, part: Part, lifespan: Any) -> FastAPI:
    """An application without routes, whose errors look like OpenAI's."""
    # FastAPI's own pages of documentation load their script from elsewhere.
    app = FastAPI(
        title="Thinkling",
        description=DESCRIPTIONS[part.product],
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    # The one added last comes first.
    app.add_middleware(ShortWay, routers=part.routers, on_error=_our_error)
    app.add_middleware(HostCheck, allowed=settings.allowed_hosts)
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_exception_handler(ThinklingError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


def _state_router(service: Service, metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:
        """Whether answers can be expected, and how many are being made."""
        body = {"status": "ok" if service.alive else "stopped", "open": service.open}
        return _json(body, 200 if service.alive else 503)

    @router.get("/metrics")
    async def measured() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return router


def _docs_router(app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(
            docs_page(app.openapi()), media_type="text/html; charset=utf-8", headers=SAFETY_HEADERS
        )

    return router


def _models_router(name: str, described: dict[str, Any]) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/models")
    async def models() -> Response:
        """What is served."""
        return _json({"object": "list", "data": [described]})

    @router.get("/v1/models/{asked:path}")
    async def model(asked: str) -> Response:
        """The model by its name."""
        if asked != name:
            raise RequestError(
                f"model {asked!r}", name, "ask for it", param="model", code="model_not_found", status=404
            )
        return _json(described)

    return router


def _our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ThinklingError)
    status, body = body_of(error)
    answer = _json(body, status)
    if status == 503:
        answer.headers["retry-after"] = "1"
    return answer


def _http_error(request: Request, error: Exception) -> Response:
    """No such address, or not by this method."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    answer = _json(error_body(message, status=error.status_code), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _unexpected_error(request: Request, error: Exception) -> Response:
    """A mistake of ours: the server's log has the traceback, the client has not."""
    return _json(error_body("something went wrong; the server's log says what", status=500), 500)


def _json(values: Any, status: int = 200) -> Response:
    return Response(as_json(values), status_code=status, media_type="application/json")
