"""Learning a vocabulary for a language model, and how well it compresses text of each kind."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError

HELD_OUT_EVERY = 20
"""Every so many documents one is not learnt from and is there to measure on."""

_MEASURED = 4_000_000  # characters of each kind of text: more no longer changes the third digit
_BATCH_CHARACTERS = 1_000_000
_NUMBERS = 2_000

Texts = Callable[[], Iterable[str]]
"""Gives the documents, the same ones in the same order at each call."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """How well a vocabulary compresses one kind of text."""

    name: str
    """The kind: a source, `numbers` or `code`."""
    bytes: int
    """Size of the measured text as UTF-8."""
    tokens: int
    """Its tokens."""
    held_out: bool
    """Whether nothing of it was learnt from; not so where a source has fewer than `HELD_OUT_EVERY` documents."""

    @property
    def bytes_per_token(self) -> float:
        """More is better: fewer tokens for the same text."""
        return self.bytes / self.tokens


def train_tokenizer(sources: Mapping[str, Texts], vocab_size: int, *, characters: int = 0) -> ChatTokenizer:
    """Learn a vocabulary from several sources, from 19 of every 20 documents of each.

    Args:
        sources: the documents by the name of their source.
        vocab_size: tokens to learn, special ones and single bytes included.
        characters: how much of each source to learn from, in characters; 0: all.

    Raises:
        InputError: an impossible size, no text at all, or what a source raises.
    """
    return ChatTokenizer.train(_learnt(sources, characters), vocab_size)


def _learnt(sources: Mapping[str, Texts], characters: int) -> Iterator[str]:
    found = False
    for texts in sources.values():
        for number, text in enumerate(_up_to(texts(), characters)):
            if not _held_out(number):
                found = True
                yield text
    if not found:
        raise InputError(
            f"no text in {', '.join(sources) or 'no source'}", "one document or more", "add text"
        )


def _held_out(number: int) -> bool:
    return number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def _up_to(texts: Iterable[str], characters: int) -> Iterator[str]:
    """The documents until so many characters are reached, at least one; all of them for 0."""
    done = 0
    for text in texts:
        yield text
        done += len(text)
        if characters and done >= characters:
            return


def compression(
    tokenizer: ChatTokenizer, sources: Mapping[str, Texts], *, characters: int = 0
) -> list[Compression]:
    """How well a vocabulary compresses the held-out documents of each source, then numbers and code.

    Args:
        tokenizer: the vocabulary.
        sources: as for `train_tokenizer`.
        characters: as for `train_tokenizer`.

    Raises:
        InputError: what a source raises.
    """
    measured = []
    for name, texts in sources.items():
        reading = enumerate(_up_to(texts(), characters))
        held_out = [*_up_to((text for number, text in reading if _held_out(number)), _MEASURED)]
        everything = [] if held_out else [*_up_to(_up_to(texts(), characters), _MEASURED)]
        if held_out or everything:
            measured.append(_measured(tokenizer, name, held_out or everything, held_out=bool(held_out)))
    measured.append(_measured(tokenizer, "numbers", _numbers(), held_out=True))
    measured.append(_measured(tokenizer, "code", _code(), held_out=True))
    return measured


def _measured(tokenizer: ChatTokenizer, name: str, texts: Iterable[str], *, held_out: bool) -> Compression:
    size = tokens = 0
    waiting = iter(texts)
    while batch := [*_up_to(islice(waiting, 10_000), _BATCH_CHARACTERS)]:
        size += sum(len(text.encode()) for text in batch)
        tokens += sum(map(len, tokenizer.encode_batch(batch)))
    return Compression(name=name, bytes=size, tokens=tokens, held_out=held_out)


def _numbers() -> list[str]:
    """Sums of numbers of one to six digits, with commas and points."""
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 10 ** rng.integers(1, 7, _NUMBERS)) for _ in range(2))
    return [f"{a:,} + {b / 100:.2f} = {a + b / 100:,.2f}" for a, b in zip(first, second, strict=True)]


def _code() -> list[str]:
    """The source of one module of Python's own library, the same for every tokenizer on a machine."""
    return [Path(argparse.__file__).read_text(encoding="utf-8")]
