"""Filling masks: what a user asks, what the model answers, and how the one becomes the other.

Shapes: B batch (slots), P masks of a text, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import SPECIALS, TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking.slots import Answer
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.text_stream import TextRow, framed

MASK_AS_TYPED = "<mask>"
"""What a user types for a mask; the tokenizer knows "<MASK>" and "[MASK]" too."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A token that may stand at a mask."""

    token: str
    """The token with the space before it, where it has one."""
    probability: float
    """By the model, among all tokens that are text."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys."""
        return {"token": self.token, "probability": self.probability}


@dataclass(frozen=True, kw_only=True)
class FilledMask:
    """One mask of a text."""

    position: int
    """Place of the mask among the tokens of the text; `<CLS>` is 0."""
    candidates: tuple[Candidate, ...]
    """The likeliest tokens, best first."""
    steps: int
    """Rounds spent on the text."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys."""
        candidates = [candidate.as_json() for candidate in self.candidates]
        return {"position": self.position, "candidates": candidates, "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class FillRound:
    """What the model would have answered after one round."""

    guesses: tuple[Candidate, ...]
    """The best token for each mask."""
    q_halt: float
    """How right the guesses are, by the model's halt value."""

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"guesses": [guess.as_json() for guess in self.guesses], "q_halt": self.q_halt}


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What came out for one text."""

    question: str
    """The text as asked."""
    text: str
    """The text with the best token at each mask."""
    masks: tuple[FilledMask, ...]
    """Each mask with its candidates, in the order of the text."""
    steps: int
    """Rounds spent."""
    q_halt: float
    """How right the best tokens are, by the model's own halt value: the share of them, or the probability that all are,
    whichever it has learned."""
    trace: tuple[FillRound, ...]
    """One entry a round; empty where not asked for."""

    def as_json(self) -> dict[str, Any]:
        """The contract's keys of `thinkling fill`, with the rounds where they were asked for."""
        values: dict[str, Any] = {
            "masks": [mask.as_json() for mask in self.masks],
            "text": self.text,
            "steps": self.steps,
            "q_halt": self.q_halt,
        }
        return values | ({"trace": [entry.as_json() for entry in self.trace]} if self.trace else {})


class TextTokensOnly:
    """A network whose answers are never special tokens: those are no text."""

    def __init__(self, network: ThinkingBert) -> None:
        self._network = network
        self._specials = torch.arange(len(SPECIALS), device=network.device)

    def fresh_carry(self, batch_size: int, length: int) -> Carry:
        """A carry of the network."""
        return self._network.fresh_carry(batch_size, length)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round of the network, logits [B, P, V] of special tokens minus infinity."""
        carry, output = self._network.segment(carry, batch)
        logits = output.logits.index_fill(-1, self._specials, -torch.inf)
        return carry, SegmentOutput(logits=logits, q_halt=output.q_halt, q_continue=output.q_continue)


def masked_row(text: str, tokenizer: TextTokenizer, most_tokens: int) -> TextRow:
    """A text with masks, as a row.

    Args:
        text: as typed.
        tokenizer: of the model.
        most_tokens: longest row of the model, `<CLS>` and `<SEP>` included.

    Raises:
        InputError: an empty text, one without a mask, too long a one, or one that is no Unicode.
    """
    row = text_row(text, tokenizer, most_tokens, masks=True)
    if len(row.places) == 0:
        raise InputError(
            f"a text without {MASK_AS_TYPED}: {_shown(text)}",
            f"at least one {MASK_AS_TYPED} (or [MASK])",
            f"write {MASK_AS_TYPED} where a token is wanted",
        )
    return row


def text_row(text: str, tokenizer: TextTokenizer, most_tokens: int, *, masks: bool = False) -> TextRow:
    """A text as a row; its places are those of the masks, of which there are none unless `masks`.

    Raises:
        InputError: an empty text, too long a one, or one that is no Unicode.
    """
    if not text.strip():
        raise InputError("an empty text", "at least one word", "give a text")
    tokens = framed(tokenizer, tokenizer.encode(text, masks=masks))
    if len(tokens) > most_tokens:
        raise InputError(
            f"a text of {len(tokens) - 2} tokens: {_shown(text)}",
            f"at most {most_tokens - 2} tokens for this model",
            "shorten the text, or give it in parts",
        )
    places = np.flatnonzero(tokens == tokenizer.mask_id) if masks else np.empty(0, dtype=np.int64)
    return TextRow(text=text, tokens=tokens, places=places)


def filled(row: TextRow, answer: Answer, tokenizer: TextTokenizer, top_k: int) -> Filled:
    """The answer for a person: the best `top_k` tokens for each mask.

    Args:
        row: the question with P masks.
        answer: of a slot machine that keeps logits; it has P or more places.
        tokenizer: of the model.
        top_k: candidates for each mask.
    """
    assert answer.logits is not None
    count = len(row.places)
    best = torch.softmax(answer.logits[:count], dim=-1).topk(min(top_k, tokenizer.vocab_size - len(SPECIALS)))
    masks = tuple(
        FilledMask(
            position=int(place),
            candidates=tuple(
                Candidate(token=tokenizer.token(token), probability=probability)
                for token, probability in zip(tokens, probabilities, strict=True)
            ),
            steps=answer.steps,
        )
        for place, tokens, probabilities in zip(
            row.places, best.indices.tolist(), best.values.tolist(), strict=True
        )
    )
    whole = row.tokens.copy()
    whole[row.places] = best.indices[:, 0].cpu().numpy()
    return Filled(
        question=row.text,
        text=tokenizer.decode(whole[1:-1].tolist()),
        masks=masks,
        steps=answer.steps,
        q_halt=answer.q_halt,
        trace=tuple(
            FillRound(
                guesses=tuple(
                    Candidate(token=tokenizer.token(int(token)), probability=float(confidence))
                    for token, confidence in zip(entry.tokens[:count], entry.confidence[:count], strict=True)
                ),
                q_halt=entry.q_halt,
            )
            for entry in answer.trace
        ),
    )


def _shown(text: str, most: int = 40) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}…")
