"""The thread that generates for all: who comes joins, who leaves frees the slot, what fails is heard of."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from small_server import FakeEngine, wait_for

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.request import Completion, Event, Request
from thinkling.serving.errors import BusyError, ServiceError
from thinkling.serving.generation_service import GenerationService, Started, Word


@contextmanager
def started(make_engine: Callable[[], FakeEngine], most_open: int = 10) -> Iterator[GenerationService]:
    service = GenerationService(make_engine, most_open=most_open)
    service.start()
    try:
        yield service
    finally:
        service.close()
        assert not service.alive


def answer_to(words: queue.Queue[Word], count: int = 1) -> list[Completion]:
    """Completions by the number in the ticket, after the first word."""
    assert isinstance(words.get(timeout=5), Started)
    ended: dict[int, Completion] = {}
    while len(ended) < count:
        word = words.get(timeout=5)
        assert isinstance(word, tuple), word
        if word[1].completion is not None:
            ended[word[0]] = word[1].completion
    return [ended[place] for place in range(count)]


def error_of(words: queue.Queue[Word]) -> ThinklingError:
    while not isinstance(word := words.get(timeout=5), ThinklingError):
        continue
    return word


@pytest.fixture
def engine(tokenizer: ChatTokenizer) -> FakeEngine:
    """Answers with the tokens of the prompt and the end."""
    return FakeEngine(tokenizer, lambda request: [*request.prompt, tokenizer.im_end_id])


def test_each_client_hears_its_own_answers(engine: FakeEngine) -> None:
    heard: list[queue.Queue[Word]] = [queue.Queue() for _ in range(5)]
    with started(lambda: engine) as service:
        for number, words in enumerate(heard):
            service.submit([Request(prompt=[20 + number]), Request(prompt=[30 + number])], words.put)
        for number, words in enumerate(heard):
            first, second = answer_to(words, 2)
            assert first.tokens == [20 + number, engine.tokenizer.im_end_id]
            assert second.tokens == [30 + number, engine.tokenizer.im_end_id]
        wait_for(lambda: service.open == 0)


def test_who_comes_later_joins_the_sequences_in_work(tokenizer: ChatTokenizer) -> None:
    going = threading.Event()

    def reply(request: Request) -> list[int]:
        return [40] * 150 + [tokenizer.im_end_id]

    engine = FakeEngine(tokenizer, reply, pause=0.001)
    heard: list[queue.Queue[Word]] = [queue.Queue() for _ in range(2)]

    def note(word: Word) -> None:
        going.set()
        heard[0].put(word)

    with started(lambda: engine) as service:
        service.submit([Request(prompt=[20])], note)
        assert going.wait(5)
        service.submit([Request(prompt=[21])], heard[1].put)
        assert [len(answer_to(words)[0].tokens) for words in heard] == [151, 151]
    assert engine.largest_batch == 2


def test_who_gives_up_frees_the_slot(tokenizer: ChatTokenizer) -> None:
    engine = FakeEngine(tokenizer, lambda request: [40] * 190, slots=1, pause=0.002)
    words: queue.Queue[Word] = queue.Queue()
    with started(lambda: engine) as service:
        first = service.submit([Request(prompt=[20]), Request(prompt=[21])], words.put)
        assert isinstance(words.get(timeout=5), Started)
        service.give_up(first)
        wait_for(lambda: service.open == 0)
        assert engine.cancelled == [0, 1]
        service.give_up(first)  # once more does nothing
        later: queue.Queue[Word] = queue.Queue()
        service.submit([Request(prompt=[22], max_tokens=2)], later.put)
        assert answer_to(later)[0].finish == "length"


def test_who_gives_up_before_the_next_step_is_never_taken_on(engine: FakeEngine) -> None:
    entered, leave = threading.Event(), threading.Event()

    def make() -> FakeEngine:
        entered.set()
        leave.wait(5)
        return engine

    service = GenerationService(make, most_open=4)
    service.start()
    assert entered.wait(5)
    ticket = service.submit([Request(prompt=[20])], lambda word: None)
    service.give_up(ticket)
    leave.set()
    wait_for(lambda: service.open == 0)
    assert engine.requests == []
    service.close()


def test_too_many_are_told_to_come_back(engine: FakeEngine) -> None:
    words: queue.Queue[Word] = queue.Queue()
    with started(lambda: engine, most_open=2) as service:
        with pytest.raises(BusyError, match="come back"):
            service.submit([Request(prompt=[20])] * 3, words.put)
        assert service.open == 0
        service.submit([Request(prompt=[20])] * 2, words.put)
        answer_to(words, 2)


def test_a_request_that_the_engine_refuses_takes_its_fellows_along(engine: FakeEngine) -> None:
    words: queue.Queue[Word] = queue.Queue()
    with started(lambda: engine) as service:
        service.submit([Request(prompt=[20]), Request(prompt=[20] * 300)], words.put)
        assert isinstance(error_of(words), InputError)
        wait_for(lambda: service.open == 0)
        assert engine.cancelled == [0]


def test_after_a_failure_everybody_hears_and_the_next_ones_are_served(
    tokenizer: ChatTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    engines: list[FakeEngine] = []

    def make() -> FakeEngine:
        engines.append(FakeEngine(tokenizer, lambda request: [40, tokenizer.im_end_id]))
        engines[0].fail_next_step = len(engines) == 1
        return engines[-1]

    first: queue.Queue[Word] = queue.Queue()
    with started(make) as service:
        service.submit([Request(prompt=[20])], first.put)
        error = error_of(first)
        assert isinstance(error, ServiceError)
        assert error.status == 500
        assert "secret" not in str(error)
        assert "a secret of the machine" in caplog.text
        second: queue.Queue[Word] = queue.Queue()
        service.submit([Request(prompt=[20])], second.put)
        assert answer_to(second)[0].finish == "stop"
        wait_for(lambda: service.open == 0)
    assert len(engines) == 2


def test_a_mistake_in_taking_on_is_a_failure_too(tokenizer: ChatTokenizer) -> None:
    def reply(request: Request) -> list[int]:
        if request.prompt == [99]:
            raise RuntimeError("unforeseen")
        return [40, tokenizer.im_end_id]

    words: queue.Queue[Word] = queue.Queue()
    with started(lambda: FakeEngine(tokenizer, reply)) as service:
        service.submit([Request(prompt=[20]), Request(prompt=[99])], words.put)
        assert isinstance(error_of(words), ServiceError)
        wait_for(lambda: service.open == 0)
        after: queue.Queue[Word] = queue.Queue()
        service.submit([Request(prompt=[20])], after.put)
        assert answer_to(after)[0].finish == "stop"


def test_a_failure_does_not_forget_who_gave_up_just_before(tokenizer: ChatTokenizer) -> None:
    """Between coming and leaving such a ticket is in neither list of the engine's; its places were never free again."""
    entered, leave = threading.Event(), threading.Event()

    def reply(request: Request) -> list[int]:
        raise RuntimeError("unforeseen")

    def make() -> FakeEngine:
        entered.set()
        leave.wait(5)
        return FakeEngine(tokenizer, reply)

    words: queue.Queue[Word] = queue.Queue()
    with started(make) as service:
        assert entered.wait(5)
        service.give_up(service.submit([Request(prompt=[20])] * 3, words.put))
        service.submit([Request(prompt=[21])], words.put)
        leave.set()
        assert isinstance(error_of(words), ServiceError)
        wait_for(lambda: service.open == 0)


def test_a_client_that_cannot_be_told_is_dropped(tokenizer: ChatTokenizer) -> None:
    """An event loop that was closed raises RuntimeError in the thread that calls it."""
    engine = FakeEngine(tokenizer, lambda request: [40] * 190)

    def deaf(word: Word) -> None:
        if isinstance(word, tuple):
            raise RuntimeError("Event loop is closed")

    with started(lambda: engine) as service:
        service.submit([Request(prompt=[20])], deaf)
        wait_for(lambda: service.open == 0)
        assert engine.cancelled == [0]


def test_closing_ends_what_is_open(tokenizer: ChatTokenizer) -> None:
    engine = FakeEngine(tokenizer, lambda request: [40] * 190, pause=0.002)
    words: queue.Queue[Word] = queue.Queue()
    with started(lambda: engine) as service:
        service.submit([Request(prompt=[20])], words.put)
        assert isinstance(words.get(timeout=5), Started)
    error = error_of(words)
    assert isinstance(error, ServiceError)
    assert error.status == 503
    with pytest.raises(ServiceError):
        service.submit([Request(prompt=[20])], words.put)
    assert service.open == 0


def test_without_an_engine_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> FakeEngine:
        raise RuntimeError("no memory")

    service = GenerationService(make, most_open=4)
    service.start()
    wait_for(lambda: not service.alive)
    with pytest.raises(ServiceError):
        service.submit([Request(prompt=[20])], lambda word: None)
    assert "no memory" in caplog.text


def test_events_come_in_their_order(engine: FakeEngine) -> None:
    words: queue.Queue[Word] = queue.Queue()
    prompt = engine.tokenizer.encode("one two three")
    with started(lambda: engine) as service:
        service.submit([Request(prompt=prompt)], words.put)
        assert isinstance(words.get(timeout=5), Started)
        events: list[Event] = []
        while not events or events[-1].completion is None:
            word = words.get(timeout=5)
            assert isinstance(word, tuple)
            events.append(word[1])
    assert "".join(event.text_piece for event in events) == "one two three"
