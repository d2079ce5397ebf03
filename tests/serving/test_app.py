"""What the server says over plain HTTP: limits, errors, health, and who may call it by which name."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from small_server import FakeModel, serving, wait_for

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.request import Request
from thinkling.serving.app import create_app
from thinkling.serving.settings import ServerSettings

CHAT = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "2+2?"}]}


SETTINGS = ServerSettings(model_name="tiny", max_body_bytes=2000)


def small_model(tokenizer: ChatTokenizer) -> FakeModel:
    def reply(request: Request) -> list[int]:
        return tokenizer.encode("one two three<|im_end|>", special=True)

    return FakeModel(tokenizer, reply)


@pytest.fixture
def model(tokenizer: ChatTokenizer) -> FakeModel:
    return small_model(tokenizer)


@pytest.fixture(scope="module")
def address(tokenizer: ChatTokenizer) -> Iterator[str]:
    """A server for the tests that leave it as it was."""
    with serving(small_model(tokenizer), SETTINGS) as address:
        yield urlsplit(address).netloc


def call(
    address: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        said = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(answer.read()), said
    finally:
        connection.close()


def chat(address: str, body: Any, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return call(
        address,
        "POST",
        CHAT,
        body if isinstance(body, bytes) else json.dumps(body),
        **{"Content_Type": "application/json", **headers},
    )


def test_an_answer_over_plain_http(address: str) -> None:
    status, body, headers = chat(address, ASK)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "one two three", "refusal": None}


def test_a_stream_is_made_of_events_and_ends_with_done(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("POST", CHAT, json.dumps(ASK | {"stream": True}), JSON)
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = answer.read().decode().split("\n\n")
    connection.close()
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: "))["id"] for event in events[:-2])


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"Content_Type": "text/plain"}, 415, "application/json"),
        (b"{}", {"Content_Type": ""}, 415, "application/json"),
        (b"{" + b" " * 2000 + b"}", {}, 413, "at most 2000 bytes"),
        (b"not json", {}, 400, "no JSON"),
        (b"\xff\xfe", {}, 400, "no JSON"),
        (b"{}", {}, 400, "no messages"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', {}, 400, "surrogate"),
        (b'{"\\ud800": 1}', {}, 400, "unknown field"),
        (b"{}", {"Host": "evil.example"}, 403, "evil.example"),
        (b"{}", {"Host": ""}, 403, "127.0.0.1"),
    ],
)
def test_a_bad_request_gets_an_error_in_openai_s_shape(
    address: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    found, error, _ = chat(address, body, **headers)
    assert found == status
    assert set(error) == {"error"}
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert said in error["error"]["message"]
    assert error["error"]["type"] == "invalid_request_error"


def test_a_long_body_that_does_not_say_so_is_read_no_further(address: str) -> None:
    """A body in pieces names no length beforehand."""
    connection = http.client.HTTPConnection(address, timeout=5)
    pieces = (b" " * 500 for _ in range(5))
    connection.request("POST", CHAT, pieces, JSON, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_long"
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1", 404), ("GET", "/v1/solve", 404), ("GET", "/redoc", 404), ("GET", CHAT, 405)],
)
def test_an_address_that_is_none_gets_an_error_in_openai_s_shape(
    address: str, method: str, path: str, status: int
) -> None:
    found, error, headers = call(address, method, path)
    assert found == status
    assert error["error"]["type"] == "invalid_request_error"
    assert path in error["error"]["message"]
    if status == 405:
        assert headers["allow"] == "POST"


def test_names_of_this_machine_are_allowed(address: str) -> None:
    port = address.partition(":")[2]
    for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert call(address, "GET", "/health", Host=host)[0] == 200


def test_health_says_whether_answers_can_be_expected(model: FakeModel) -> None:
    def no_more(*, slots: int) -> Any:
        raise RuntimeError("no memory")

    with serving(model, SETTINGS) as base:
        address = urlsplit(base).netloc
        assert call(address, "GET", "/health")[:2] == (200, {"status": "ok", "open": 0})
        wait_for(lambda: model.engines)
        model.engine = no_more  # type: ignore[method-assign]  # what goes wrong once in a while
        model.engines[0].fail_next_step = True
        assert chat(address, ASK)[0] == 500
        wait_for(lambda: call(address, "GET", "/health")[0] == 503)
        status, error, _ = chat(address, ASK)
        assert (status, error["error"]["type"]) == (503, "server_error")


def test_a_mistake_of_ours_is_no_traceback(model: FakeModel) -> None:
    app = create_app(model, SETTINGS)  # type: ignore[arg-type]  # it has what the application needs

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    # Not by a live server, which would print the traceback, as it should.
    from fastapi.testclient import TestClient

    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_a_request_that_comes_another_way_gets_the_same_answer(model: FakeModel) -> None:
    """Inside another application the path is another one, and FastAPI itself finds the route."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = create_app(model, SETTINGS)  # type: ignore[arg-type]  # it has what the application needs
    outer = FastAPI()
    outer.mount("/inner", app)
    answers = []
    for address, path in ((app, CHAT), (outer, f"/inner{CHAT}")):
        with TestClient(address, base_url="http://localhost") as client:
            answers.append(client.post(path, json={"messages": 1}))
    assert answers[0].status_code == answers[1].status_code == 400
    assert answers[0].json() == answers[1].json()
    assert CHAT in app.openapi()["paths"]


def test_a_server_for_everybody_may_be_called_by_any_name(model: FakeModel) -> None:
    with serving(model, ServerSettings(model_name="tiny", allowed_hosts=())) as address:
        assert call(urlsplit(address).netloc, "GET", "/health", Host="some.where")[0] == 200


def test_a_server_that_stops_leaves_no_thread_behind(model: FakeModel) -> None:
    """An answer that is being made then gets a second to end, and its connection is closed."""
    before = generation_threads()
    with serving(model, SETTINGS) as address:
        wait_for(lambda: model.engines)
        model.engines[0].pause = 0.3
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=5)
        connection.request("POST", CHAT, json.dumps(ASK | {"stream": True}), JSON)
        assert connection.getresponse().status == 200
    connection.close()
    assert generation_threads() == before


def generation_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "generating"}


def test_a_model_that_knows_no_conversations_is_refused(model: FakeModel) -> None:
    model.stage = "pretraining"
    with pytest.raises(InputError, match="lm-sft"):
        create_app(model, SETTINGS)  # type: ignore[arg-type]  # it has what the application needs
