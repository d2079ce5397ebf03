"""The alphabet of a table: text to tokens and back, for one row or for many at once.

Tokens: 0 is padding, 1 the end of an answer, s + 2 the alphabet's symbol s. A symbol is a character or an integer.

Shapes: N rows, L positions.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError

Kind = Literal["characters", "integers"]
"""What one position holds."""

KINDS: tuple[Kind, ...] = ("characters", "integers")

END_TOKEN = 1
"""Follows the last symbol of an answer, so that a model must also know where its answer ends."""

FIRST_SYMBOL = 2
"""The token of the alphabet's first symbol."""

MOST_SYMBOLS = 60_000
"""More symbols than this are no alphabet; tokens fit 16 bits."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN = 60
_UNKNOWN = ord("?")


def integer_of(word: str) -> int | None:
    """The integer that a word says; None where it says none."""
    return int(word) if _INTEGER.fullmatch(word) else None


def words_of(text: str) -> list[str]:
    """The words of a text of integers; they are separated by blanks or commas."""
    return text.replace(",", " ").split()


def separator_of(text: str) -> str | None:
    """How a text separates its integers: `, `, `,` or a blank; None where it has only one."""
    found = re.search(r"(?<=[0-9])[\s,]+(?=[+-]?[0-9])", text)
    if found is None:
        return None
    return ", " if re.fullmatch(r",\s+", found[0]) else "," if "," in found[0] else " "


def code_points(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The code points of all texts, one behind the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a table, in the order of their tokens."""

    kind: Kind
    """What a symbol is."""
    symbols: tuple[str, ...] | tuple[int, ...]
    """The characters or integers, each once."""
    separator: str = " "
    """What `decode` writes between two integers."""

    @property
    def vocab_size(self) -> int:
        """Padding, end and the symbols."""
        return len(self.symbols) + FIRST_SYMBOL

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest type that holds every token."""
        return np.uint8 if self.vocab_size <= 256 else np.uint16

    def __str__(self) -> str:
        """The symbols for an error message, cut where they are many."""
        if self.kind == "characters":
            text = repr("".join(map(str, self.symbols[:_SHOWN])))
        else:
            text = ", ".join(map(str, self.symbols[: _SHOWN // 4]))
        left = len(self.symbols) - (_SHOWN if self.kind == "characters" else _SHOWN // 4)
        return f"{text} and {left} more" if left > 0 else text

    @functools.cached_property
    def _token_of_code(self) -> NDArray[np.uint16]:
        """The token of each code point; 0 where it is no symbol."""
        codes = code_points([str(symbol) for symbol in self.symbols])
        table = np.zeros(int(codes.max(initial=0)) + 2, dtype=np.uint16)
        table[codes] = np.arange(FIRST_SYMBOL, self.vocab_size, dtype=np.uint16)
        return table

    @functools.cached_property
    def _code_of_token(self) -> NDArray[np.uint32]:
        """The code point of each token; `?` beyond the last."""
        codes = code_points([str(symbol) for symbol in self.symbols])
        return np.concatenate([[0, 0], codes, [_UNKNOWN]]).astype(np.uint32)

    @functools.cached_property
    def _token_of_integer(self) -> dict[int, int]:
        return {
            symbol: token
            for token, symbol in enumerate(self.symbols, FIRST_SYMBOL)
            if isinstance(symbol, int)
        }

    def encode(self, text: str) -> NDArray[Any]:
        """The tokens of a text, as many as it has symbols.

        Raises:
            InputError: a symbol that is not of the alphabet; names its place in the text.
        """
        if self.kind == "characters":
            codes = code_points([text])
            tokens = self._token_of_code.take(codes, mode="clip")
            if not tokens.all():
                place = int((tokens == 0).argmax())
                raise self._unknown(f"the character {text[place]!r} at place {place + 1}")
            return tokens.astype(self.dtype)
        tokens = np.empty(len(words := words_of(text)), dtype=self.dtype)
        for place, word in enumerate(words):
            number = integer_of(word)
            if number is None:
                raise InputError(
                    f"{word!r} at place {place + 1}",
                    "integers separated by blanks or commas",
                    "correct it, or import the table with --tokens characters",
                )
            token = self._token_of_integer.get(number)
            if token is None:
                raise self._unknown(f"the integer {number} at place {place + 1}")
            tokens[place] = token
        return tokens

    def _unknown(self, what: str) -> InputError:
        return InputError(what, str(self), "correct it, or train on a table in which it occurs")

    def encode_rows(self, texts: Sequence[str], length: int, *, right: bool) -> NDArray[Any] | None:
        """The tokens [N, L] of texts of 1 to L symbols; None where a text has none, more, or an unknown one."""
        if self.kind == "integers":
            rows = np.zeros((len(texts), length), dtype=self.dtype)
            for row, text in enumerate(texts):
                try:
                    tokens = self.encode(text)
                except InputError:
                    return None
                if not 1 <= len(tokens) <= length:
                    return None
                rows[row, length - len(tokens) if right else 0 :][: len(tokens)] = tokens
            return rows
        if not all(1 <= len(text) <= length for text in texts):
            return None
        # NumPy pads texts with NUL, which is no symbol and becomes padding.
        padded = [text.rjust(length, "\0") for text in texts] if right else list(texts)
        codes = np.array(padded, dtype=f"<U{length}").view(np.uint32).reshape(len(texts), length)
        tokens = self._token_of_code.take(codes, mode="clip").astype(self.dtype)
        return tokens if np.count_nonzero(tokens) == sum(map(len, texts)) else None

    def decode_rows(self, tokens: NDArray[Any], *, right: bool) -> list[str]:
        """The texts of rows of tokens [N, L].

        A text goes from the start to the first padding or end token; with `right` from the last such token to the
        end of the row.
        """
        stops = np.asarray(tokens) < FIRST_SYMBOL
        if right:
            kept = ~np.logical_or.accumulate(stops[:, ::-1], axis=1)[:, ::-1]
        else:
            kept = ~np.logical_or.accumulate(stops, axis=1)
        if self.kind == "integers":
            names = [*map(str, self.symbols), "?"]
            return [
                self.separator.join(names[min(token - FIRST_SYMBOL, len(names) - 1)] for token in row)
                for row in (np.asarray(row)[there].tolist() for row, there in zip(tokens, kept, strict=True))
            ]
        codes = np.where(kept, self._code_of_token.take(tokens, mode="clip"), np.uint32(0))
        texts: list[str] = (
            np.ascontiguousarray(codes, dtype=np.uint32).view(f"<U{codes.shape[1]}")[:, 0].tolist()
        )
        return [text.lstrip("\0") for text in texts] if right else texts
