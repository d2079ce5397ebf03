"""The application: which model is served, what answers for it, and how errors look."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from thinkling import __version__
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.run_files import CHAT
from thinkling.serving.chat_routes import chat_router
from thinkling.serving.errors import RequestError, as_json, body_of, error_body
from thinkling.serving.generation_service import GenerationService
from thinkling.serving.host_check import HostCheck
from thinkling.serving.settings import ServerSettings


def create_app(model: LanguageModel, settings: ServerSettings) -> FastAPI:
    """An application that serves a model; it begins to generate when it is started and ends with it.

    Args:
        model: a language model. Nobody else may use it meanwhile.
        settings: limits and defaults.

    Raises:
        InputError: the model has not been trained on conversations.
    """
    if model.stage != CHAT:
        raise InputError(
            f"a run of the stage {model.stage!r}",
            f"one that was trained on conversations ({CHAT!r})",
            "train it on some first: thinkling train lm-sft",
        )
    context = model.network.config.max_length
    service = GenerationService(
        lambda: model.engine(slots=settings.slots), most_open=settings.slots + settings.max_waiting
    )

    @asynccontextmanager
    async def generating(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = _frame(settings, generating)
    app.include_router(_health_router(service))
    app.include_router(_models_router(settings.model_name, {"max_model_len": context}))
    app.include_router(chat_router(service, model.tokenizer, context, settings))
    return app


def _frame(settings: ServerSettings, lifespan: Any) -> FastAPI:
    """An application without routes, whose errors look like OpenAI's."""
    # FastAPI's pages of documentation load their script from elsewhere.
    app = FastAPI(
        title="Thinkling",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(HostCheck, allowed=settings.allowed_hosts)
    app.add_exception_handler(ThinklingError, _our_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


def _health_router(service: GenerationService) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> Response:
        """Whether answers can be expected, and how many are being made."""
        body = {"status": "ok" if service.alive else "stopped", "open": service.open}
        return _json(body, 200 if service.alive else 503)

    return router


def _models_router(name: str, details: dict[str, Any]) -> APIRouter:
    router = APIRouter()
    described = {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "thinkling",
        **details,
    }

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
