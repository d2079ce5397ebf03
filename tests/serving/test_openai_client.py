"""The official client against a live server, over an engine with a script."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from small_server import FakeModel, serving, wait_for

from thinkling.data.chat_template import Message, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.request import Request
from thinkling.serving.settings import ServerSettings

SETTINGS = ServerSettings(model_name="tiny", slots=8, max_waiting=8, max_choices=4)
ASK: list[Any] = [{"role": "user", "content": "2+2?"}]


class Script:
    """What the model says; tests change it."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.tokenizer = tokenizer
        self.text = "<think>two and 2</think>four é<|im_end|>"

    def __call__(self, request: Request) -> list[int]:
        return self.tokenizer.encode(self.text, special=True)


@pytest.fixture
def script(tokenizer: ChatTokenizer) -> Script:
    return Script(tokenizer)


@pytest.fixture
def model(tokenizer: ChatTokenizer, script: Script) -> FakeModel:
    return FakeModel(tokenizer, script)


@pytest.fixture
def client(model: FakeModel) -> Iterator[openai.OpenAI]:
    with (
        serving(model, SETTINGS) as address,
        openai.OpenAI(base_url=address, api_key="any", max_retries=0, timeout=10) as client,
    ):
        yield client


def reasoning_of(message: Any) -> str | None:
    """The field is none of the official client's, which keeps it all the same."""
    return getattr(message, "reasoning_content", None)


def test_an_answer_with_its_reasoning(client: openai.OpenAI, model: FakeModel) -> None:
    answer = client.chat.completions.create(model="tiny", messages=ASK)
    choice = answer.choices[0]
    assert choice.message.content == "four é"
    assert reasoning_of(choice.message) == "two and 2"
    assert (choice.message.role, choice.finish_reason, choice.index) == ("assistant", "stop", 0)
    assert (answer.object, answer.model) == ("chat.completion", "tiny")
    request = model.engines[0].requests[0]
    expected = prompt_ids(model.tokenizer, [Message(role="user", content="2+2?")])
    assert request.prompt == expected
    thought = model.tokenizer.encode("two and 2")
    spoken = model.tokenizer.encode("<think>two and 2</think>four é<|im_end|>", special=True)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(expected)
    assert answer.usage.completion_tokens == len(spoken)
    assert answer.usage.total_tokens == len(expected) + len(spoken)
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == len(thought)


def test_a_stream_says_the_same_piece_by_piece(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    whole = client.chat.completions.create(model="tiny", messages=ASK)
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert said[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in said) == whole.choices[0].message.content
    assert "".join(reasoning_of(choice.delta) or "" for choice in said) == "two and 2"
    assert len([choice for choice in said if choice.delta.content]) > 3
    assert [choice.finish_reason for choice in said if choice.finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_without_being_asked_a_stream_has_no_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="tiny", messages=ASK, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_an_answer_without_reasoning_has_no_such_field(client: openai.OpenAI, script: Script) -> None:
    script.text = "four<|im_end|>"
    answer = client.chat.completions.create(model="tiny", messages=ASK)
    assert answer.choices[0].message.content == "four"
    assert not hasattr(answer.choices[0].message, "reasoning_content")


def test_how_to_generate_reaches_the_engine(client: openai.OpenAI, model: FakeModel) -> None:
    client.chat.completions.create(
        model="tiny",
        messages=ASK,
        temperature=0.5,
        top_p=0.9,
        seed=11,
        max_completion_tokens=50,
        stop=["x", "y"],
        n=3,
        extra_body={
            "top_k": 5,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
            "think_budget": 4,
            "chat_template_kwargs": {"enable_thinking": False},
        },
    )
    requests = model.engines[0].requests
    assert [request.sample for request in requests] == [0, 1, 2]
    assert {request.sampling for request in requests} == {requests[0].sampling}
    sampling = requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 5, 0.05)
    assert (sampling.repetition_penalty, sampling.seed) == (1.1, 11)
    assert (requests[0].max_tokens, requests[0].stop, requests[0].think_budget) == (50, ("x", "y"), 4)
    assert requests[0].prompt[-2:] == [model.tokenizer.think_id, model.tokenizer.end_think_id]


def test_without_a_limit_the_context_is_one_and_seeds_differ(client: openai.OpenAI, model: FakeModel) -> None:
    for _ in range(2):
        client.chat.completions.create(model="tiny", messages=ASK)
    first, second = model.engines[0].requests
    assert first.max_tokens == 200 - len(first.prompt)
    assert first.sampling.seed != second.sampling.seed


def test_several_answers_have_their_numbers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=ASK, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"four é"}
    chunks = list(client.chat.completions.create(model="tiny", messages=ASK, n=3, stream=True))
    ends = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]
    one = client.chat.completions.create(model="tiny", messages=ASK)
    assert answer.usage is not None
    assert one.usage is not None
    assert answer.usage.prompt_tokens == one.usage.prompt_tokens
    assert answer.usage.completion_tokens == 3 * one.usage.completion_tokens


def test_stop_texts_budget_and_limit_end_an_answer(client: openai.OpenAI) -> None:
    stopped = client.chat.completions.create(model="tiny", messages=ASK, stop="ur")
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("fo", "stop")
    short = client.chat.completions.create(model="tiny", messages=ASK, max_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("", "length")
    limited = client.chat.completions.create(model="tiny", messages=ASK, extra_body={"think_budget": 1})
    assert limited.usage is not None
    assert limited.usage.completion_tokens_details is not None
    assert limited.usage.completion_tokens_details.reasoning_tokens == 1


def test_clients_at_the_same_time_share_the_engine(
    client: openai.OpenAI, script: Script, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.text = "one two three " * 8 + "<|im_end|>"
    wait_for(lambda: model.engines)
    monkeypatch.setattr(model.engines[0], "pause", 0.002)

    def ask(_: int) -> str | None:
        return client.chat.completions.create(model="tiny", messages=ASK).choices[0].message.content

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(12))) == {"one two three " * 8}
    assert len(model.engines) == 1
    assert model.engines[0].largest_batch >= 3


def test_the_models_served(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "thinkling"
    with pytest.raises(openai.NotFoundError, match="tiny"):
        client.models.retrieve("gpt-4o")


def test_errors_are_the_exceptions_that_users_know(client: openai.OpenAI, model: FakeModel) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="temperature") as bad:
        client.chat.completions.create(model="tiny", messages=ASK, temperature=3)
    assert (bad.value.param, bad.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="wizard"):
        client.chat.completions.create(model="tiny", messages=[{"role": "wizard", "content": "x"}])  # type: ignore[list-item]  # that it is wrong is the point
    with pytest.raises(openai.BadRequestError, match="empty message of the assistant"):
        client.chat.completions.create(model="tiny", messages=[{"role": "assistant", "content": ""}, *ASK])
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="at most 199") as long:
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "9" * 300}], stream=stream
            )
        assert long.value.code == "context_length_exceeded"
    assert model.engines[0].requests == []


def test_too_many_requests_are_told_to_come_back(
    client: openai.OpenAI, script: Script, model: FakeModel
) -> None:
    wait_for(lambda: model.engines)
    model.engines[0].pause = 0.01
    script.text = "one two three " * 8 + "<|im_end|>"
    held = [client.chat.completions.create(model="tiny", messages=ASK, n=4, stream=True) for _ in range(4)]
    with pytest.raises(openai.InternalServerError) as busy:
        client.chat.completions.create(model="tiny", messages=ASK)
    assert busy.value.status_code == 503
    assert busy.value.response.headers["retry-after"] == "1"
    for stream in held:
        stream.close()
    wait_for(lambda: not model.engines[0].sequences)


def test_a_failure_is_an_error_without_a_traceback(client: openai.OpenAI, model: FakeModel) -> None:
    wait_for(lambda: model.engines)
    model.engines[0].fail_next_step = True
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="tiny", messages=ASK)
    assert failed.value.status_code == 500
    assert "secret" not in str(failed.value)
    assert "Traceback" not in str(failed.value)
    wait_for(lambda: len(model.engines) > 1)  # the client hears of the failure before there is another engine
    model.engines[1].fail_next_step = True
    with pytest.raises(openai.APIError, match="generating failed"):
        list(client.chat.completions.create(model="tiny", messages=ASK, stream=True))
    assert client.chat.completions.create(model="tiny", messages=ASK).choices[0].message.content == "four é"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slots(
    client: openai.OpenAI, script: Script, model: FakeModel, stream: bool
) -> None:
    wait_for(lambda: model.engines)
    engine = model.engines[0]
    engine.pause = 0.02
    script.text = "one two three " * 8 + "<|im_end|>"
    if stream:
        answer = client.chat.completions.create(model="tiny", messages=ASK, stream=True, n=2)
        next(iter(answer))
        answer.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="tiny", messages=ASK, n=2, timeout=0.1)
    wait_for(lambda: len(engine.cancelled) == 2)
    assert engine.sequences == {}
