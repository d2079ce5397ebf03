"""A server under test: a live uvicorn on a free port, with an engine that says what the test wants."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import uvicorn

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.request import Event, Request, RunningSequence
from thinkling.serving.app import create_app
from thinkling.serving.settings import ServerSettings

Reply = Callable[[Request], list[int]]
"""What the engine answers to a request, in tokens."""


def small_tokenizer() -> ChatTokenizer:
    """Hardly more than the single bytes."""
    return ChatTokenizer.train(["one two three four user assistant 0123456789"] * 3, 290)


class FakeEngine:
    """An engine with the interface of the real one that answers from a script, one token a step."""

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        reply: Reply,
        *,
        slots: int = 4,
        capacity: int = 200,
        pause: float = 0.0,
    ) -> None:
        self.tokenizer, self.reply = tokenizer, reply
        self.slots, self.capacity, self.pause = slots, capacity, pause
        self.sequences: dict[int, tuple[RunningSequence, list[int]]] = {}
        self.requests: list[Request] = []
        self.cancelled: list[int] = []
        self.largest_batch = 0
        self.fail_next_step = False

    @property
    def busy(self) -> bool:
        return bool(self.sequences)

    def add(self, request: Request) -> int:
        if len(request.prompt) >= self.capacity:
            raise InputError("a long prompt", "a short one", "shorten it")
        number = len(self.requests)
        self.requests.append(request)
        sequence = RunningSequence(number, request, self.tokenizer, self.capacity)
        self.sequences[number] = (sequence, self.reply(request))
        return number

    def cancel(self, number: int) -> None:
        if self.sequences.pop(number, None) is not None:
            self.cancelled.append(number)

    def step(self) -> list[Event]:
        if self.fail_next_step:
            self.fail_next_step = False
            raise RuntimeError("a secret of the machine")
        time.sleep(self.pause)
        at_work = list(self.sequences.items())[: self.slots]
        self.largest_batch = max(self.largest_batch, len(at_work))
        events = []
        for number, (sequence, script) in at_work:
            token = script[len(sequence.tokens)]
            if sequence.forced_token is not None:
                token = sequence.forced_token
            events.append(sequence.take(token, -0.5))
            if events[-1].completion is not None:
                del self.sequences[number]
        return events


class FakeModel:
    """What the application needs of a language model; it makes one engine after the other."""

    def __init__(
        self, tokenizer: ChatTokenizer, reply: Reply, *, pause: float = 0.0, context: int = 200
    ) -> None:
        self.tokenizer, self.stage, self.params = tokenizer, "chat", 1000
        self.network = SimpleNamespace(config=SimpleNamespace(max_length=context))
        self.engines: list[FakeEngine] = []
        self._reply, self._pause, self._context = reply, pause, context

    def engine(self, *, slots: int) -> FakeEngine:
        engine = FakeEngine(
            self.tokenizer, self._reply, slots=slots, capacity=self._context, pause=self._pause
        )
        self.engines.append(engine)
        return engine


@contextlib.contextmanager
def serving(model: Any, settings: ServerSettings) -> Iterator[str]:
    """The address of a live server of a model, as a client wants it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(model, settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive()


def wait_for(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)
