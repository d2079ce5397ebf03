"""Masks filled over HTTP, with a small encoder of random weights."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from small_puzzles import Client
from small_server import serving, wait_for

sys.path.insert(0, str(Path(__file__).parents[1] / "thinking_bert"))

from small_encoder import write_random_run

from thinkling.errors import InputError
from thinkling.serving.errors import BusyError, ServiceError
from thinkling.serving.fill_service import FillRequest, FillService
from thinkling.serving.metrics import Metrics
from thinkling.serving.parts import part_of
from thinkling.serving.request_schemas import FILL
from thinkling.serving.settings import ServerSettings
from thinkling.thinking_bert.classifier_model import ClassifierModel
from thinkling.thinking_bert.encoder_model import EncoderModel

SETTINGS = ServerSettings(model_name="small", max_puzzles=5, max_top_k=9, max_body_bytes=5000)
TEXTS = [
    "the <mask> is big",
    "a dog near the <mask> <mask>",
    "Paris is a [MASK]",
    "what is <mask> in the house",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EncoderModel:
    folder = tmp_path_factory.mktemp("fill") / "small"
    write_random_run(folder)
    return EncoderModel.from_folder(folder)


@pytest.fixture(scope="module")
def client(model: EncoderModel) -> Iterator[Client]:
    with serving(model, SETTINGS) as address:
        yield Client(urlsplit(address).netloc)


def fill(client: Client, **fields: Any) -> tuple[int, Any]:
    return client.call("POST", "/v1/fill", fields)


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal but for the last digits: how many texts share a batch changes them."""
    return json.dumps(_rounded(found)) == json.dumps(_rounded(expected))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def test_a_text_is_answered_as_on_the_command_line(client: Client, model: EncoderModel) -> None:
    for trace in (False, True):
        status, body = fill(client, text=TEXTS[1], top_k=3, trace=trace, model="small")
        assert status == 200
        assert body.pop("model") == "small"
        (expected,) = model.fill_many([TEXTS[1]], top_k=3, trace=trace)
        assert same(body, expected.as_json())
        assert ("trace" in body) == trace
        assert len(body["masks"]) == 2


def test_several_texts(client: Client, model: EncoderModel) -> None:
    status, body = fill(client, texts=TEXTS, halt="never", steps=2)
    assert status == 200
    expected = model.fill_many(TEXTS, halt="never", steps=2)
    for found, each in zip(body["results"], expected, strict=True):
        assert same(found, each.as_json())
        assert found["steps"] == 2


def test_many_clients_get_their_own(client: Client) -> None:
    """Requests of one round are answered together, each as it was asked."""
    asked = [
        {"text": TEXTS[number % 4], "top_k": 1 + number % 9, "trace": number % 2 == 0} for number in range(60)
    ]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda fields: fill(client, **fields), asked))
    for fields, (status, body) in zip(asked, answers, strict=True):
        assert status == 200
        assert all(len(mask["candidates"]) == fields["top_k"] for mask in body["masks"])
        assert ("trace" in body) == fields["trace"]
        alone = fill(client, **fields)[1]
        assert body["text"] == alone["text"]
        # Unused tokens are equally likely: which of them are among the best is a matter of chance.
        assert same(likelihoods(body), likelihoods(alone))


def likelihoods(body: dict[str, Any]) -> dict[str, Any]:
    """The candidates without their names."""
    masks = [[each["probability"] for each in mask["candidates"]] for mask in body["masks"]]
    return {"masks": masks, "steps": body["steps"], "q_halt": body["q_halt"]}


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({}, 400, "neither text nor texts"),
        ({"text": "no mask"}, 400, "without <mask>"),
        ({"text": ""}, 400, "empty"),
        ({"text": "<mask>" + " cat" * 200}, 400, "at most 46 tokens"),
        ({"text": "\ud800 <mask>"}, 400, "surrogate"),
        ({"texts": ["<mask>", 4]}, 400, "a list"),
        ({"texts": ["<mask>"] * 6}, 413, "at most 5"),
        ({"text": "<mask>", "top_k": 0}, 400, "1 to 9"),
        ({"text": "<mask>", "top_k": 10}, 400, "1 to 9"),
        ({"text": "<mask>", "steps": -1}, 400, "from 1"),
        ({"text": "<mask>", "halt": "valid"}, 400, "nobody can check"),
        ({"text": "<mask>", "txt": 1}, 400, "did you mean 'text'"),
        ({"text": "<mask>", "model": "big"}, 404, "small"),
        ({"text": "x" * 6000}, 413, "at most 5000"),
    ],
)
def test_what_cannot_be_filled_is_named(
    client: Client, fields: dict[str, Any], status: int, said: str
) -> None:
    found, error = fill(client, **fields)
    assert found == status
    assert said in error["error"]["message"]


def test_one_bad_text_does_not_harm_those_of_others(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda text: fill(client, text=text)[0], ["the <mask>", "no mask at all"] * 12)
        )
    assert answers == [200, 400] * 12


def test_the_page_knows_what_it_shows(client: Client) -> None:
    manifest = client.call("GET", "/manifest.json")[1]
    assert manifest["product"] == manifest["description"]["product"] == "thinking_bert"
    assert manifest["description"]["limit"] == 4
    assert all("<mask>" in example["puzzle"] for example in manifest["examples"])
    document = client.call("GET", "/openapi.json")[1]
    content = document["paths"]["/v1/fill"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["schema"]["properties"]) == set(FILL)
    assert client.call("POST", "/v1/solve", {})[0] == 404


class SlowModel:
    """In place of an encoder: it answers when it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[list[str]] = []
        self.fail = False

    def fill_many(self, texts: Sequence[str], **settings: Any) -> list[Any]:
        self.asked.append(list(texts))
        assert self.go.wait(5)
        if self.fail:
            raise ZeroDivisionError("a secret")
        return []


@pytest.fixture
def slow() -> Iterator[tuple[SlowModel, FillService]]:
    model: Any = SlowModel()
    service = FillService(model, ServerSettings(slots=4, max_waiting_puzzles=2), Metrics())
    service.start()
    yield model, service
    model.go.set()
    service.close()


def request(*texts: str, **changes: Any) -> FillRequest:
    fields: dict[str, Any] = {"top_k": 5, "halt": "q", "steps": None, "trace": False}
    return FillRequest(texts=texts, **fields | changes)


def test_those_who_wait_are_answered_together_where_they_ask_alike(
    slow: tuple[SlowModel, FillService],
) -> None:
    model, service = slow
    heard: list[Any] = []
    service.submit(request("first"), heard.append)
    wait_for(lambda: model.asked)
    for name in ("a", "b"):
        service.submit(request(name), heard.append)
    service.submit(request("other", steps=2), heard.append)
    gone = service.submit(request("gone"), heard.append)
    assert service.open == 5
    service.give_up(gone)
    service.submit(request("c", top_k=9), heard.append)
    model.go.set()
    wait_for(lambda: len(heard) == 5)
    assert model.asked == [["first"], ["a", "b", "c"], ["other"]]
    wait_for(lambda: service.open == 0)


def test_too_many_are_told_to_come_back(slow: tuple[SlowModel, FillService]) -> None:
    _, service = slow
    service.submit(request(*"abcdef"), lambda word: None)
    with pytest.raises(BusyError):
        service.submit(request("one more"), lambda word: None)


def test_after_a_failure_the_next_ones_are_filled(
    slow: tuple[SlowModel, FillService], caplog: pytest.LogCaptureFixture
) -> None:
    model, service = slow
    heard: list[Any] = []
    model.fail = True
    model.go.set()
    service.submit(request("a"), heard.append)
    wait_for(lambda: heard)
    assert isinstance(heard[0], ServiceError)
    assert "secret" not in str(heard[0])
    model.fail = False
    service.submit(request("b"), heard.append)
    wait_for(lambda: heard[1:] == [[]])


def test_a_service_that_is_closed_answers_nobody(slow: tuple[SlowModel, FillService]) -> None:
    model, service = slow
    heard: list[Any] = []
    service.submit(request("a"), heard.append)
    wait_for(lambda: model.asked)
    service.submit(request("waits"), heard.append)
    closing = threading.Thread(target=service.close)
    closing.start()
    wait_for(lambda: not service.alive)
    model.go.set()
    closing.join(5)
    assert [type(word) for word in heard] == [list, ServiceError]
    with pytest.raises(ServiceError):
        service.submit(request("late"), heard.append)


def test_a_classifier_and_examples_for_texts_are_refused(model: EncoderModel) -> None:
    classifier = ClassifierModel.__new__(ClassifierModel)
    with pytest.raises(InputError, match="thinkling classify"):
        part_of(classifier, SETTINGS, Metrics())
    with pytest.raises(InputError, match=r"--examples mine\.csv"):
        part_of(model, SETTINGS, Metrics(), Path("mine.csv"))
