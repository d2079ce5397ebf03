"""Errors as OpenAI's interface words them, so that its clients raise the exception their users know."""

from __future__ import annotations

import json
from typing import Any

from thinkling.errors import InputError, ThinklingError

_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class RequestError(InputError):
    """A request that cannot be answered.

    Args:
        given: what was given, with the place where there is one.
        allowed: what would have been accepted.
        next_step: what the client can do now.
        param: the field at fault, where it is one.
        code: a word for programs, such as `context_length_exceeded`.
        status: of the HTTP answer.
    """

    def __init__(
        self,
        given: str,
        allowed: str,
        next_step: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
    ) -> None:
        super().__init__(given, allowed, next_step)
        self.param = param
        self.code = code
        self.status = status


class BusyError(RequestError):
    """More requests wait than the server lets wait."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"a request while {waiting} sequences are open",
            "fewer at once",
            "come back in a moment",
            code="overloaded",
            status=503,
        )


class ServiceError(ThinklingError):
    """No answer will come, by no fault of the client's.

    Args:
        message: one line that says no more than a stranger may know.
        status: 503: later there may be one; 500: generating failed.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def error_body(
    message: str, *, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The JSON object of an error.

    Args:
        message: one line for a person.
        status: of the HTTP answer; below 500 the request is to blame.
        param: the field at fault.
        code: a word for programs.
    """
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: ThinklingError) -> tuple[int, dict[str, Any]]:
    """Status and JSON object for one of our errors."""
    if isinstance(error, RequestError):
        body = error_body(str(error), status=error.status, param=error.param, code=error.code)
        return error.status, body
    if isinstance(error, ServiceError):
        return error.status, error_body(str(error), status=error.status)
    status = 400 if isinstance(error, InputError) else 500
    return status, error_body(str(error), status=status)


def as_json(values: Any) -> bytes:
    """JSON in ASCII: half of a surrogate pair, which JSON can hold and UTF-8 cannot, may come back in a message."""
    return _JSON.encode(values).encode("ascii")
