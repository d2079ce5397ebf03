"""Tokens become readable text one after the other: reasoning apart from answer, never half a character."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Literal

from thinkling.data.chat_tokenizer import ChatTokenizer

TextKind = Literal["reasoning", "text"]
"""What a piece of text is: between `<think>` and `</think>`, or outside."""


class AnswerText:
    """What one sequence has said so far.

    Attributes:
        kind: of what comes next.
        reasoning: all that was said between `<think>` and `</think>`.
        text: all that was said outside, up to the stop string.
        stopped: whether a stop string has come.
    """

    def __init__(self, tokenizer: ChatTokenizer, stop: Sequence[str] = (), *, thinking: bool = False) -> None:
        """Before the first token.

        Args:
            tokenizer: of the tokens.
            stop: strings in the answer, not in the reasoning, that end it and are cut off.
            thinking: whether `<think>` stands open.
        """
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._markers = {tokenizer.think_id, tokenizer.end_think_id}
        self._held = ""
        self._said: dict[TextKind, list[str]] = {"reasoning": [], "text": []}
        self.kind: TextKind = "reasoning" if thinking else "text"
        self.stopped = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def reasoning(self) -> str:
        """All of it so far."""
        return "".join(self._said["reasoning"])

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._said["text"])

    def add(self, token: int) -> tuple[TextKind, str]:
        """What becomes readable with a token, and of which kind it is.

        Part of a character, and what may become a stop string, waits for the tokens that follow.
        """
        kind = self.kind
        if token not in self._markers:
            return kind, self._say(self._decoder.decode(self._tokenizer.token_bytes(token)))
        rest = self.end()
        self.kind = "reasoning" if token == self._tokenizer.think_id else "text"
        return kind, rest

    def end(self) -> str:
        """What has waited: nothing follows it."""
        text = self._say(self._decoder.decode(b"", final=True))
        if self.stopped:
            return text
        held, self._held = self._held, ""
        self._said[self.kind].append(held)
        return text + held

    def _say(self, new: str) -> str:
        if self.stopped:
            return ""
        if self.kind == "text" and self._stop:
            new = self._up_to_stop(self._held + new)
        self._said[self.kind].append(new)
        return new

    def _up_to_stop(self, waiting: str) -> str:
        """The part before the first stop string, or before what may become one."""
        places = [place for stop in self._stop if (place := waiting.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return waiting[: min(places)]
        longest = max(
            length
            for stop in self._stop
            for length in range(min(len(stop) - 1, len(waiting)) + 1)
            if waiting.endswith(stop[:length])
        )
        cut = len(waiting) - longest
        self._held = waiting[cut:]
        return waiting[:cut]
