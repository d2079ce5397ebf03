"""What a client gets from `/v1/chat/completions`: one object, or a stream of chunks, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from thinkling.lm.answer_text import TextKind
from thinkling.lm.request import Completion
from thinkling.serving.errors import as_json

FIELDS: dict[TextKind, str] = {"reasoning": "reasoning_content", "text": "content"}
"""Which field a piece of text goes to. `reasoning_content` is no field of OpenAI's; vLLM, SGLang and llama.cpp
send a chain of thought under this name."""
DONE = b"data: [DONE]\n\n"
"""Last line of a stream."""


def usage(completions: Iterable[Completion]) -> dict[str, Any]:
    """Numbers of tokens; the prompt counts once, however many answers there are."""
    ended = list(completions)
    prompt = ended[0].prompt_tokens
    completion = sum(len(each.tokens) for each in ended)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": sum(each.thinking_tokens for each in ended)},
    }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What all parts of one answer share."""

    number: str
    """Its id."""
    created: int
    """When it was asked for, in seconds since 1970."""
    model: str
    """The model's name."""

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        """The answer in one object."""
        return self._object("chat.completion") | {
            "choices": [
                {
                    "index": index,
                    "message": _message(completion),
                    "logprobs": None,
                    "finish_reason": completion.finish,
                }
                for index, completion in enumerate(completions)
            ],
            "usage": usage(completions),
        }

    def opening(self, index: int, *, with_usage: bool) -> bytes:
        """The first chunk of a choice: who speaks."""
        return self._chunk(index, {"role": "assistant", "content": ""}, None, with_usage)

    def piece(self, index: int, kind: TextKind, text: str, *, with_usage: bool) -> bytes:
        """A chunk with a piece of text."""
        return self._chunk(index, {FIELDS[kind]: text}, None, with_usage)

    def ending(self, index: int, finish: str, *, with_usage: bool) -> bytes:
        """The last chunk of a choice: why it ended."""
        return self._chunk(index, {}, finish, with_usage)

    def totals(self, completions: Iterable[Completion]) -> bytes:
        """The chunk with the numbers of tokens, which belongs to no choice."""
        values = {"choices": [], "usage": usage(completions)}
        return line(self._object("chat.completion.chunk") | values)

    def _chunk(self, index: int, delta: dict[str, Any], finish: str | None, with_usage: bool) -> bytes:
        values: dict[str, Any] = {
            "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
        }
        if with_usage:
            values["usage"] = None  # it comes in a chunk of its own, at the end
        return line(self._object("chat.completion.chunk") | values)

    def _object(self, kind: str) -> dict[str, Any]:
        return {"id": self.number, "object": kind, "created": self.created, "model": self.model}


def line(values: dict[str, Any]) -> bytes:
    """One event of a stream (server-sent events, as the HTML standard defines them)."""
    return b"data: " + as_json(values) + b"\n\n"


def _message(completion: Completion) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": completion.text, "refusal": None}
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    return message
