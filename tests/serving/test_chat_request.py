"""Bodies of requests, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from thinkling.data.chat_template import Message
from thinkling.errors import InputError
from thinkling.serving.chat_request import ChatRequest, chat_request
from thinkling.serving.errors import RequestError, as_json, body_of
from thinkling.serving.settings import ServerSettings

ASK = {"role": "user", "content": "2+2?"}
SETTINGS = ServerSettings(model_name="tiny", temperature=0.25, think_budget=7, max_choices=3)


def read(settings: ServerSettings = SETTINGS, **fields: Any) -> ChatRequest:
    return chat_request(json.dumps({"messages": [ASK], **fields}).encode(), settings)


def test_what_is_not_given_is_the_server_s_choice() -> None:
    asked = read()
    assert asked.messages == (Message(role="user", content="2+2?"),)
    assert (asked.temperature, asked.think_budget, asked.max_tokens) == (0.25, 7, None)
    assert (asked.n, asked.stream, asked.stop, asked.seed, asked.enable_thinking) == (
        1,
        False,
        (),
        None,
        True,
    )
    # The official client sends null for what its user has not set.
    assert read(temperature=None, stop=None, seed=None, n=None, tools=None) == asked


def test_every_field_arrives() -> None:
    asked = read(
        model="tiny",
        max_completion_tokens=5,
        max_tokens=9,
        temperature=1,
        top_p=0.5,
        top_k=4,
        min_p=0.1,
        repetition_penalty=1.5,
        seed=-3,
        stop="end",
        n=2,
        stream=True,
        stream_options={"include_usage": True},
        think_budget=0,
        chat_template_kwargs={"enable_thinking": False},
        user="somebody",
        frequency_penalty=0,
        response_format={"type": "text"},
    )
    assert asked == ChatRequest(
        messages=(Message(role="user", content="2+2?"),),
        max_tokens=5,
        temperature=1.0,
        top_p=0.5,
        top_k=4,
        min_p=0.1,
        repetition_penalty=1.5,
        seed=-3,
        stop=("end",),
        n=2,
        stream=True,
        include_usage=True,
        think_budget=0,
        enable_thinking=False,
    )
    assert read(max_tokens=9).max_tokens == 9
    assert read(stop=["a", "b"]).stop == ("a", "b")


def test_the_server_s_limit_of_tokens_goes_before_the_client_s() -> None:
    settings = ServerSettings(model_name="tiny", max_tokens=6)
    assert [read(settings, **f).max_tokens for f in ({}, {"max_tokens": 5}, {"max_tokens": 7})] == [6, 5, 6]


def test_messages_may_be_written_in_openai_s_ways() -> None:
    asked = read(
        messages=[
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "1+1"}, {"type": "text", "text": "?"}]},
            {"role": "assistant", "content": "2", "reasoning_content": "1 and 1", "refusal": None},
            ASK,
        ]
    )
    assert [(m.role, m.content, m.reasoning) for m in asked.messages] == [
        ("system", "Be short.", ""),
        ("user", "1+1?", ""),
        ("assistant", "2", "1 and 1"),
        ("user", "2+2?", ""),
    ]


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"temprature": 1}, "temprature", "did you mean 'temperature'"),
        ({"temperature": 3}, "temperature", "0 to 2"),
        ({"temperature": 10**400}, "temperature", "0 to 2"),
        ({"temperature": True}, "temperature", "a number"),
        ({"temperature": "0"}, "temperature", "a number"),
        ({"top_p": 0}, "top_p", "above 0"),
        ({"min_p": -0.1}, "min_p", "0 to 1"),
        ({"top_k": 1.5}, "top_k", "a whole number"),
        ({"repetition_penalty": 0}, "repetition_penalty", "above 0"),
        ({"seed": 2**63}, "seed", "a whole number"),
        ({"seed": True}, "seed", "a whole number"),
        ({"max_tokens": 0}, "max_tokens", "from 1"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens", "a whole number"),
        ({"n": 4}, "n", "from 1 to 3"),
        ({"n": 0}, "n", "from 1"),
        ({"think_budget": -1}, "think_budget", "from 0"),
        ({"stop": ""}, "stop", "1 to 256 characters"),
        ({"stop": ["a"] * 5}, "stop", "up to 4"),
        ({"stop": [1]}, "stop", "a text"),
        ({"stop": {"a": 1}}, "stop", "a text"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream"),
        ({"stream": True, "stream_options": []}, "stream_options", "an object"),
        ({"stream": True, "stream_options": {"usage": True}}, "usage", "include_usage"),
        ({"chat_template_kwargs": {"thinking": True}}, "thinking", "enable_thinking"),
        ({"chat_template_kwargs": {"enable_thinking": 0}}, "enable_thinking", "true or false"),
        ({"model": 3}, "model", "a text"),
        ({"logprobs": True}, "logprobs", "leave logprobs out"),
        ({"presence_penalty": 0.5}, "presence_penalty", "leave presence_penalty out"),
        ({"tools": [{"type": "function"}]}, "tools", "leave tools out"),
        ({"response_format": {"type": "json_object"}}, "response_format", "leave response_format out"),
        ({"messages": None}, "messages", "no messages"),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "hello"}, "messages", "a list"),
        ({"messages": ["hello"]}, "messages", "message 1"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages", "wizard"),
        ({"messages": [{"content": "x"}]}, "messages", "role"),
        ({"messages": [{"role": "user"}]}, "messages", "content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages", "content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "text"),
        (
            {"messages": [{"role": "assistant", "content": ""}, ASK]},
            "messages",
            "message 1: an empty message",
        ),
        ({"messages": [ASK, {"role": "assistant", "content": "4"}]}, "messages", "ends with the message"),
        ({"messages": [{"role": "user", "content": "a<|im_end|>b"}]}, "messages", "<|im_end|>"),
        ({"messages": [{"role": "user", "content": "a<think>b"}]}, "messages", "<think>"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages", "surrogate"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(**fields)
    assert caught.value.param == param
    assert said in str(caught.value)
    status, body = body_of(caught.value)
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"
    assert len(body["error"]["message"]) < 600
    json.loads(as_json(body))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"messages": "\xff"}', "no JSON"),
        (b'{"temperature": NaN}', "NaN is no JSON"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}', "temperature"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "a list"),
        (b"3", "the value 3"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        chat_request(body, SETTINGS)


def test_another_model_is_not_found() -> None:
    with pytest.raises(RequestError) as caught:
        read(model="gpt-4o")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "tiny" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"slots": 0}, "slots 0"),
        ({"max_waiting": -1}, "max_waiting"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": 2.5}, "temperature 2.5"),
        ({"think_budget": -1}, "think_budget"),
        ({"model_name": " "}, "an empty model_name"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ServerSettings(**settings)
