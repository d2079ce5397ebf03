"""What is asked of the generation engine, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.answer_text import AnswerText, TextKind
from thinkling.lm.sampling import SamplingConfig

Finish = Literal["stop", "length"]
"""Why a sequence ended: by itself or a stop string, or because it was long enough."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One sequence to go on with."""

    prompt: list[int]
    """Tokens to begin with."""
    max_tokens: int = 256
    """Tokens to add at most; fewer where the context ends before."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """How tokens are chosen."""
    sample: int = 0
    """Number of the answer, where several are wanted for one prompt and seed."""
    think_budget: int | None = None
    """Tokens between `<think>` and `</think>` at most; then `</think>` is written for the model."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer and are cut off; they are not looked for in the reasoning."""
    ignore_eos: bool = False
    """Whether the tokens that end an answer are ordinary ones."""

    def __post_init__(self) -> None:
        """Refuses settings out of their range.

        Raises:
            InputError: naming the first one.
        """
        if self.max_tokens < 1:
            raise InputError(f"max_tokens {self.max_tokens}", "1 or more", "give another number")
        if self.think_budget is not None and self.think_budget < 0:
            raise InputError(f"think_budget {self.think_budget}", "0 or more", "give another number")
        if "" in self.stop:
            raise InputError("an empty stop string", "strings of one character or more", "leave it out")
        if self.sample < 0:
            raise InputError(f"sample {self.sample}", "0 or more", "give another number")


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A sequence that has ended."""

    tokens: list[int]
    """What was added, with the markers of thinking and the token that ended it."""
    logprobs: list[float]
    """Log-probability of each token, under the model at the request's temperature (1 where greedy)."""
    forced: list[int]
    """Places of tokens that the budget chose, not the model."""
    finish: Finish
    """Why it ended."""
    reasoning: str
    """What stands between `<think>` and `</think>`."""
    text: str
    """What stands outside, up to a stop string."""
    thinking_tokens: int
    """Tokens between `<think>` and `</think>`."""
    prompt_tokens: int
    """Tokens of the prompt."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One more token of one sequence."""

    number: int
    """What `add` returned for the request."""
    token: int
    """The token."""
    text_piece: str
    """What became readable with it, perhaps nothing."""
    kind: TextKind
    """Whether that belongs to the reasoning or to the answer."""
    completion: Completion | None = None
    """The whole sequence, where this was its last token."""


@dataclass(kw_only=False)
class RunningSequence:
    """A request in work."""

    number: int
    """What its events carry."""
    request: Request
    """What was asked."""
    tokenizer: ChatTokenizer
    """How its tokens are read."""
    capacity: int
    """Longest sequence, prompt included."""
    tokens: list[int] = field(default_factory=list)
    """What was added so far."""
    logprobs: list[float] = field(default_factory=list)
    """Log-probability of each."""
    forced: list[int] = field(default_factory=list)
    """Places of tokens that the budget chose."""
    thinking_tokens: int = 0
    """Tokens of thinking so far."""

    def __post_init__(self) -> None:
        """Looks whether the prompt has left `<think>` open."""
        markers = (self.tokenizer.think_id, self.tokenizer.end_think_id)
        last = next((token for token in reversed(self.request.prompt) if token in markers), None)
        self._answer = AnswerText(self.tokenizer, self.request.stop, thinking=last == self.tokenizer.think_id)
        self._most = min(self.request.max_tokens, self.capacity - len(self.request.prompt))
        self._seen: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens so far, the prompt included."""
        return len(self.request.prompt) + len(self.tokens)

    @property
    def forced_token(self) -> int | None:
        """`</think>`, where the budget of thinking is used up."""
        budget = self.request.think_budget
        if budget is None or self._answer.kind == "text" or self.thinking_tokens < budget:
            return None
        return self.tokenizer.end_think_id

    def seen(self, device: torch.device) -> Tensor | None:
        """Which tokens occurred, [V] bool; None where the request has no penalty for them."""
        if self.request.sampling.repetition_penalty == 1:
            return None
        if self._seen is None:
            self._seen = torch.zeros(self.tokenizer.vocab_size, dtype=torch.bool, device=device)
            self._seen[self.request.prompt] = True
        self._seen[self.tokens[-1:]] = True
        return self._seen

    def take(self, token: int, logprob: float) -> Event:
        """Add a token; the event that tells of it."""
        if self.forced_token is not None:
            self.forced.append(len(self.tokens))
        self.tokens.append(token)
        self.logprobs.append(logprob)
        kind, piece = self._answer.add(token)
        ended = token in self.tokenizer.stop_ids and not self.request.ignore_eos
        if kind == "reasoning" == self._answer.kind and not ended:
            self.thinking_tokens += 1
        stopped = ended or self._answer.stopped
        if not stopped and len(self.tokens) < self._most:
            return Event(number=self.number, token=token, text_piece=piece, kind=kind)
        if kind == self._answer.kind:
            piece += self._answer.end()
        return Event(
            number=self.number,
            token=token,
            text_piece=piece,
            kind=kind,
            completion=Completion(
                tokens=self.tokens,
                logprobs=self.logprobs,
                forced=self.forced,
                finish="stop" if stopped else "length",
                reasoning=self._answer.reasoning,
                text=self._answer.text,
                thinking_tokens=self.thinking_tokens,
                prompt_tokens=len(self.request.prompt),
            ),
        )
