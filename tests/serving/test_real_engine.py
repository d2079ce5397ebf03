"""A real model behind the server: what it answers is nonsense, and always the same nonsense."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from small_model import small_network
from small_server import serving, wait_for

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.sampling import SamplingConfig
from thinkling.serving.settings import ServerSettings

SETTINGS = ServerSettings(model_name="tiny", slots=3, max_choices=8)
PROMPTS = ["one", "two two", "three 123", "four user", "five?", "six and six"]


@pytest.fixture(scope="module")
def model(tokenizer: ChatTokenizer) -> LanguageModel:
    return LanguageModel(small_network(tokenizer), tokenizer, {})


@pytest.fixture(scope="module")
def client(model: LanguageModel) -> Iterator[openai.OpenAI]:
    with (
        serving(model, SETTINGS) as address,
        openai.OpenAI(base_url=address, api_key="any", max_retries=0, timeout=10) as client,
    ):
        yield client


def ask(client: openai.OpenAI, prompt: str, **changes: Any) -> Any:
    messages: list[Any] = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="tiny", messages=messages, **{"max_tokens": 24, **changes})


def test_many_clients_get_what_the_model_says_when_asked_alone(
    client: openai.OpenAI, model: LanguageModel
) -> None:
    """Six clients share three slots, so that some wait and some join sequences in work."""
    sampling = SamplingConfig(temperature=0.8, top_p=0.9, seed=5)
    greedy = [model.generate(prompt, max_tokens=24) for prompt in PROMPTS]
    drawn = [model.generate(prompt, max_tokens=24, sampling=sampling) for prompt in PROMPTS]
    assert len({generated.text for generated in greedy}) > 2
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        first = list(pool.map(lambda prompt: ask(client, prompt), PROMPTS))
        second = list(
            pool.map(lambda prompt: ask(client, prompt, temperature=0.8, top_p=0.9, seed=5), PROMPTS)
        )
    for expected, answers in ((greedy, first), (drawn, second)):
        for generated, answer in zip(expected, answers, strict=True):
            message = answer.choices[0].message
            assert message.content == generated.text
            assert getattr(message, "reasoning_content", "") == generated.reasoning
            assert answer.choices[0].finish_reason == generated.finish
            assert answer.usage.completion_tokens == generated.tokens
            assert answer.usage.prompt_tokens == generated.prompt_tokens


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    for prompt in PROMPTS[:3]:
        whole = ask(client, prompt, temperature=1, seed=2).choices[0].message.content
        pieces = [
            chunk.choices[0].delta.content or ""
            for chunk in ask(client, prompt, temperature=1, seed=2, stream=True)
        ]
        assert "".join(pieces) == whole


def test_a_seed_gives_the_same_answers_and_different_ones_among_themselves(client: openai.OpenAI) -> None:
    first, again = (ask(client, "one", n=4, temperature=1, seed=9) for _ in range(2))
    said = [choice.message.content for choice in first.choices]
    assert said == [choice.message.content for choice in again.choices]
    assert len(set(said)) == 4


def test_the_budget_of_thinking_is_kept(client: openai.OpenAI, model: LanguageModel) -> None:
    answer = ask(client, "one", extra_body={"think_budget": 0}, max_tokens=100, temperature=1, seed=1, n=8)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_a_conversation_longer_than_the_context_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the context of 128") as caught:
        ask(client, "7" * 200)
    assert caught.value.code == "context_length_exceeded"
    assert ask(client, "one", max_tokens=1000).usage.total_tokens <= 128


def test_leaving_frees_the_real_engine_too(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = []
    make = LanguageModel.engine

    def noted(self: LanguageModel, **sizes: Any) -> Any:
        engines.append(make(self, **sizes))
        return engines[-1]

    monkeypatch.setattr(LanguageModel, "engine", noted)
    endless = ServerSettings(model_name="tiny", slots=2, max_waiting=0)
    with (
        serving(model, endless) as address,
        openai.OpenAI(base_url=address, api_key="any", max_retries=0, timeout=10) as client,
    ):
        for _ in range(5):
            stream = ask(client, "one", stream=True, n=2, temperature=1.0, seed=1)
            next(iter(stream))
            stream.close()
            wait_for(lambda: open_at(address) == 0)
            assert not engines[0].busy
        assert ask(client, "two").choices[0].message.content is not None


def open_at(address: str) -> int:
    """Sequences that a server works on, by its own word."""
    with urllib.request.urlopen(f"{address.removesuffix('/v1')}/health", timeout=5) as answer:
        return int(json.loads(answer.read())["open"])
