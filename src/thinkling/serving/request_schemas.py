"""What the bodies of requests hold, for `/openapi.json` and `/docs`. Reading them is the business of their own files;
a test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from thinkling.puzzles.breadth import Vary
from thinkling.thinking.halting import HaltRuleName
from thinkling.thinking.selection import Select


def _text(about: str) -> dict[str, Any]:
    return {"type": "string", "description": about}


def _whole(about: str, least: int = 0) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "description": about}


def _number(about: str, least: float, most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most, "description": about}


def _flag(about: str) -> dict[str, Any]:
    return {"type": "boolean", "description": about}


def _one_of(words: Sequence[str], about: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words), "description": about}


_MODEL = _text("the model's name, as /v1/models says it; may be left out")

SOLVE: Mapping[str, Mapping[str, Any]] = {
    "puzzle": _text("one question in the task's notation; or give puzzles"),
    "puzzles": {"type": "array", "items": {"type": "string"}, "description": "several questions"},
    "puzzle_id": _text("for tasks with named puzzles (ARC): the one that the questions belong to"),
    "halt": _one_of(
        get_args(HaltRuleName),
        "what stops thinking: a valid answer (default where the task can tell one), the Q value, or only the limit",
    ),
    "steps": _whole("segments after which a chain stops in any case; default: as trained", 1),
    "samples": _whole("chains of thought a question; all stop as soon as one satisfies halt; default 1", 1),
    "vary": _one_of(get_args(Vary), "by what the chains of a question differ; default symmetry"),
    "select": _one_of(get_args(Select), "which chain's answer is given"),
    "seed": _whole("of symmetries and noise; the same seed gives the same answer"),
    "search": _flag(
        "branch on the least certain cell and go back on contradiction, until the answer is verified"
    ),
    "budget": _whole("with search: segments that a question may cost", 1),
    "trace": _flag("also return what the model thought, segment by segment, and the path of its state"),
    "stream": _flag("send every segment as it comes (server-sent events segment, answer, done, error)"),
    "model": _MODEL,
}
"""`/v1/solve`."""

FILL: Mapping[str, Mapping[str, Any]] = {
    "text": _text("a text with <mask> (or [MASK]) where a token is wanted; or give texts"),
    "texts": {"type": "array", "items": {"type": "string"}, "description": "several texts"},
    "top_k": _whole("candidates for each mask; default 5", 1),
    "halt": _one_of(("q", "never"), "what stops thinking: the Q value, or only the limit"),
    "steps": _whole("rounds after which a text stops in any case; default: as trained", 1),
    "trace": _flag("also return the best guess for each mask after each round"),
    "model": _MODEL,
}
"""`/v1/fill`."""

CHAT: Mapping[str, Mapping[str, Any]] = {
    "messages": {
        "type": "array",
        "items": {"type": "object"},
        "description": 'the conversation: {"role": "system" | "user" | "assistant", "content": "…"}',
    },
    "model": _MODEL,
    "max_completion_tokens": _whole("most tokens of an answer, its reasoning included", 1),
    "max_tokens": _whole("the older name of the same", 1),
    "temperature": _number("0: always the likeliest token", 0, 2),
    "top_p": _number("draw from the likeliest tokens that together have this probability", 0, 1),
    "top_k": _whole("draw from so many tokens only; 0: from all"),
    "min_p": _number("draw only tokens with at least this share of the likeliest one's probability", 0, 1),
    "repetition_penalty": _number("what the scores of tokens seen before are divided by", 0, 10),
    "seed": {"type": "integer", "description": "the same seed gives the same answers"},
    "stop": {"type": "array", "items": {"type": "string"}, "description": "texts that end an answer"},
    "n": _whole("how many answers", 1),
    "stream": _flag("send the answer token by token (server-sent events)"),
    "stream_options": {"type": "object", "description": '{"include_usage": true}'},
    "think_budget": _whole("most tokens of reasoning"),
    "chat_template_kwargs": {"type": "object", "description": '{"enable_thinking": false} to answer at once'},
}
"""`/v1/chat/completions`; further fields of OpenAI's are taken where they ask for nothing."""


def body_schema(
    fields: Mapping[str, Mapping[str, Any]],
    *,
    required: Sequence[str] = (),
    example: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a route says of its body in the OpenAPI document.

    Args:
        fields: by name, each a JSON schema.
        required: those that must be there.
        example: a body that can be sent as it is.
    """
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": dict(fields)}
    if required:
        schema["required"] = list(required)
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = dict(example)
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
