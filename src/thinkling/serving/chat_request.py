"""What a client asks of `/v1/chat/completions`, read from the body of its request.

The fields are OpenAI's; `top_k`, `min_p`, `repetition_penalty`, `chat_template_kwargs` (as vLLM has them) and
`think_budget` are further ones, which the official client sends by `extra_body`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thinkling.data.chat_template import Message, messages_of
from thinkling.errors import InputError
from thinkling.serving.errors import RequestError
from thinkling.serving.fields import Fields, json_object, shown
from thinkling.serving.served_model import check_model
from thinkling.serving.settings import ServerSettings

MOST_STOPS = 4
"""Stop sequences of a request, as in OpenAI's interface."""
LONGEST_STOP = 256
"""Characters of a stop sequence."""
_LARGEST_SEED = 2**63 - 1
_MOST_TOKENS = 1_000_000

_UNDERSTOOD = (
    "chat_template_kwargs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "model",
    "n",
    "repetition_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "think_budget",
    "top_k",
    "top_p",
)
_WITHOUT_EFFECT = (
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""Fields about the client's account, which no answer depends on."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
}
"""Fields that this server does not have, with the values that ask for nothing."""


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A conversation to be gone on with, and how."""

    messages: tuple[Message, ...]
    """The conversation; its last message is the user's."""
    max_tokens: int | None
    """Most tokens of an answer, its reasoning included; None: as many as there is room for."""
    temperature: float
    """0: always the likeliest token."""
    top_k: int
    """Draw from so many tokens only; 0: from all."""
    top_p: float
    """Draw from the likeliest tokens that together have this probability."""
    min_p: float
    """Draw only tokens with at least this share of the likeliest one's probability."""
    repetition_penalty: float
    """What the scores of tokens seen before are divided by."""
    seed: int | None
    """The same seed gives the same answers; None: others each time."""
    stop: tuple[str, ...]
    """Texts that end an answer; they are not part of it."""
    n: int
    """How many answers."""
    stream: bool
    """Whether the answer comes piece by piece."""
    include_usage: bool
    """Whether a stream ends with the numbers of tokens."""
    think_budget: int | None
    """Most tokens of reasoning; None: no limit."""
    enable_thinking: bool
    """Whether the model may reason before it answers."""


def chat_request(body: bytes, settings: ServerSettings) -> ChatRequest:
    """The request in a body.

    Args:
        body: as received.
        settings: defaults and limits.

    Raises:
        RequestError: no JSON object, an unknown field, a value out of its range, another model's name (404), or
            messages that are no conversation.
    """
    fields = Fields(json_object(body))
    fields.only((*_UNDERSTOOD, *_WITHOUT_EFFECT, *_NEUTRAL))
    for name, values in _NEUTRAL.items():
        fields.neutral(name, values)
    check_model(fields, settings.model_name)
    stream = fields.flag("stream", False)
    return ChatRequest(
        messages=_messages(fields.value("messages")),
        max_tokens=_max_tokens(fields, settings),
        temperature=fields.number("temperature", settings.temperature, 0, 2),
        top_k=fields.whole("top_k", 0, 0, _MOST_TOKENS) or 0,
        top_p=fields.number("top_p", 1.0, 0, 1, above=True),
        min_p=fields.number("min_p", 0.0, 0, 1),
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0, 10, above=True),
        seed=fields.whole("seed", None, -_LARGEST_SEED - 1, _LARGEST_SEED),
        stop=_stops(fields),
        n=fields.whole("n", 1, 1, settings.max_choices) or 1,
        stream=stream,
        include_usage=_include_usage(fields, stream),
        think_budget=fields.whole("think_budget", settings.think_budget, 0, _MOST_TOKENS),
        enable_thinking=_enable_thinking(fields.inner("chat_template_kwargs")),
    )


def _max_tokens(fields: Fields, settings: ServerSettings) -> int | None:
    """The newer name goes before the older one; what the server allows goes before both."""
    older = fields.whole("max_tokens", None, 1, _MOST_TOKENS)
    asked = fields.whole("max_completion_tokens", older, 1, _MOST_TOKENS)
    if settings.max_tokens and (asked is None or asked > settings.max_tokens):
        return settings.max_tokens
    return asked


def _stops(fields: Fields) -> tuple[str, ...]:
    value = fields.value("stop")
    stops = [] if value is None else [value] if isinstance(value, str) else value
    fitting = isinstance(stops, list) and all(
        isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops
    )
    if not fitting or len(stops) > MOST_STOPS:
        raise fields.wrong("stop", f"a text or up to {MOST_STOPS} of them, of 1 to {LONGEST_STOP} characters")
    return tuple(stops)


def _include_usage(fields: Fields, stream: bool) -> bool:
    if "stream_options" in fields and not stream:
        raise fields.wrong("stream_options", 'nothing without "stream": true', "leave it out, or stream")
    options = fields.inner("stream_options")
    # `include_obfuscation` pads the chunks against listeners on the way; nothing is padded here.
    options.only(("include_usage", "include_obfuscation"))
    return options.flag("include_usage", False)


def _enable_thinking(fields: Fields) -> bool:
    fields.only(("enable_thinking",))
    return fields.flag("enable_thinking", True)


def _messages(value: Any) -> tuple[Message, ...]:
    """The conversation.

    Raises:
        RequestError: no list, an empty one, a message that cannot be one, or a last one that is not the user's.
    """
    if not isinstance(value, list) or not value:
        raise RequestError(
            "no messages" if value is None else f"messages {shown(value)}",
            "a list with at least one message",
            'send "messages": [{"role": "user", "content": "…"}]',
            param="messages",
        )
    try:
        messages = messages_of([_plain(message) for message in value], "messages:")
    except InputError as error:
        raise RequestError(error.given, error.allowed, error.next_step, param="messages") from None
    if messages[-1].role != "user":
        raise RequestError(
            f"a conversation that ends with the message of the {messages[-1].role}",
            "one that ends with the user's",
            "add what is to be answered",
            param="messages",
        )
    return tuple(messages)


def _plain(message: Any) -> Any:
    """A message with OpenAI's newer word for the system under its older one."""
    if isinstance(message, dict) and message.get("role") == "developer":
        return message | {"role": "system"}
    return message
