"""A conversation as the text that a language model reads: ChatML with the reasoning between `<think>` and `</think>`.

`CHAT_TEMPLATE` is the one definition. Every part of this program renders through it, and it is stored with a model for
the programs that read the model's folder or its GGUF file. It keeps to what `llama.cpp`'s interpreter of Jinja knows.

    <|im_start|>user
    2+2?<|im_end|>
    <|im_start|>assistant
    <think>2 and 2 is 4.</think>4<|im_end|>

The rendered text is cut with special tokens recognised, as other programs do it. So a message must not hold one: it
would end its own turn and speak for somebody else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from thinkling.data.chat_tokenizer import END_THINK, SPECIALS, THINK, ChatTokenizer
from thinkling.errors import InputError, nearest

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' and message.reasoning_content %}"
    "{{ '<think>' + message.reasoning_content + '</think>' }}"
    "{% endif %}"
    "{{ message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}"
    "{% endif %}"
)
"""Jinja. Reads each message's `role`, `content`, `reasoning_content`; `add_generation_prompt`; `enable_thinking`."""

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)

_NEXT_STEP = "correct this message"


@dataclass(frozen=True, kw_only=True)
class Message:
    """What somebody says.

    Raises:
        InputError: an unknown role, an assistant without an answer, reasoning of somebody else, or a special token in
            a text.
    """

    role: Role
    """Who: system, user or assistant."""
    content: str
    """What is said; of an assistant, the answer."""
    reasoning: str = ""
    """What an assistant thought before; empty where it did not think."""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InputError(f"the role {self.role!r}", ", ".join(ROLES), nearest(str(self.role), ROLES))
        if self.role == "assistant" and not self.content.strip():
            raise InputError(
                "reasoning without an answer" if self.reasoning else "an empty message of the assistant",
                "an answer",
                "correct or remove this conversation",
            )
        if self.reasoning and self.role != "assistant":
            raise InputError(f"reasoning of the {self.role}", "reasoning of the assistant only", _NEXT_STEP)
        for text in (self.content, self.reasoning):
            for marker in SPECIALS:
                if marker in text:
                    raise InputError(
                        f"{marker} in a message of the {self.role}",
                        "text without special tokens; reasoning apart from the answer",
                        "correct or remove this message",
                    )

    def as_json(self) -> dict[str, str]:
        """The message as the template, Transformers and servers have it."""
        thought = {"reasoning_content": self.reasoning} if self.reasoning else {}
        return {"role": self.role, "content": self.content, **thought}


def messages_of(rows: Any, place: str) -> list[Message]:
    """The messages of a conversation that came as JSON.

    Reasoning is read from `reasoning_content` or `reasoning`, or from between `<think>` and `</think>` at the
    beginning of an assistant's content. Content may be a list of texts as OpenAI's interface has it. White space before
    an answer without reasoning is dropped, because a line break there would become one token with that of the template.

    Args:
        rows: a list of objects with `role` and `content`.
        place: where they are from, for the error message.

    Raises:
        InputError: no messages, another type, an unknown role, an assistant without an answer, or a special token in a
            text; names the place and the number of the message.
    """
    if not isinstance(rows, list) or not rows:
        raise InputError(
            f"{place}: {_shown(rows)}", "a list of one or more messages", "give at least one message"
        )
    messages = []
    for number, row in enumerate(rows, 1):
        try:
            messages.append(_message(row))
        except InputError as error:
            raise error.at(f"{place} message {number}") from None
    return messages


def _message(row: Any) -> Message:
    if not isinstance(row, Mapping):
        raise InputError(_shown(row), "an object with role and content", _NEXT_STEP)
    for field in ("tool_calls", "function_call"):
        if row.get(field):
            raise InputError(f"{field} {_shown(row[field])}", "messages of text", "remove the call")
    role = row.get("role")
    if role not in ROLES:
        raise InputError(
            f"the role {_shown(role)}" if "role" in row else f"no role in {_shown(row)}",
            ", ".join(ROLES),
            nearest(str(role), ROLES),
        )
    content = _text("content", row.get("content"))
    reasoning = _text("reasoning_content", row.get("reasoning_content") or row.get("reasoning") or "")
    if role == "assistant":
        if not reasoning and content.lstrip().startswith(THINK) and END_THINK in content:
            reasoning, _, content = content.lstrip().removeprefix(THINK).partition(END_THINK)
        if not reasoning:
            content = content.lstrip()
    return Message(role=role, content=content, reasoning=reasoning)


def _text(field: str, value: Any) -> str:
    if isinstance(value, list):
        if not all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value):
            raise InputError(f"{field} {_shown(value)}", "text, or a list of parts of text", _NEXT_STEP)
        value = "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise InputError(f"{field} {_shown(value)}", "text", _NEXT_STEP)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"half of a surrogate pair in {field}", "text that UTF-8 can hold", _NEXT_STEP
        ) from None
    return value


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=str)[:60]


@cache
def _template() -> Template:
    """Compiled as Transformers does it (`utils/chat_template_utils.py`)."""
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)


def render(
    messages: Sequence[Message], *, add_generation_prompt: bool = False, enable_thinking: bool = True
) -> str:
    """The text of a conversation.

    Args:
        messages: what was said.
        add_generation_prompt: whether the assistant's turn begins at the end.
        enable_thinking: whether the model decides to think; where not, the generation prompt says that it has not.
    """
    return _template().render(
        messages=[message.as_json() for message in messages],
        add_generation_prompt=add_generation_prompt,
        enable_thinking=enable_thinking,
    )


def prompt_ids(
    tokenizer: ChatTokenizer, messages: Sequence[Message], *, enable_thinking: bool = True
) -> list[int]:
    """The tokens of a conversation that ends where the assistant shall go on."""
    text = render(messages, add_generation_prompt=True, enable_thinking=enable_thinking)
    return tokenizer.encode(text, special=True)


def example_ids(tokenizer: ChatTokenizer, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """The tokens of a whole conversation to learn from.

    Returns:
        The tokens, and which of them are learnt: those of the assistant, from after the line that names it up to and
        with `<|im_end|>`.

    Raises:
        InputError: no message of the assistant.
    """
    if not any(message.role == "assistant" for message in messages):
        raise InputError(
            "a conversation without a message of the assistant",
            "one or more",
            "correct or remove this example",
        )
    ids = tokenizer.encode(render(messages), special=True)
    learnt = [False] * len(ids)
    starts = [place for place, token in enumerate(ids) if token == tokenizer.im_start_id]
    for message, start in zip(messages, starts, strict=True):
        if message.role == "assistant":
            # The line that names the speaker ends with the first line break after the mark.
            first = next(p for p in range(start, len(ids)) if b"\n" in tokenizer.token_bytes(ids[p])) + 1
            end = ids.index(tokenizer.im_end_id, first) + 1
            learnt[first:end] = [True] * (end - first)
    return ids, learnt
