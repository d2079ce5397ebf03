"""The rows of a table on their way into a data set: on disk from the first one on, a few bytes of each in memory.

While rows arrive nothing is known of the alphabet and the length, so symbols get provisional numbers in the order in
which they are met and go to a file one row behind the other; `Rows.encoded` makes them tokens when all are there.

Shapes: R rows (questions with answers), N of them in one chunk, L positions.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.table import MOST_POSITIONS, Table
from thinkling.tasks.table_alphabet import (
    FIRST_SYMBOL,
    MOST_SYMBOLS,
    Kind,
    code_points,
    integer_of,
    separator_of,
    words_of,
)

_TOGETHER = 8192
"""Rows that are written or encoded at once …"""
_SYMBOLS_TOGETHER = 2**20
"""… or fewer where they are long."""
_CODE_POINTS = 0x110000
_SPELLINGS = 4 * MOST_SYMBOLS


def fingerprint(text: str) -> bytes:
    """8 bytes that equal texts share, and different ones do not (one chance in 2^64 for each pair)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Rows:
    """Rows of one table, from any number of sources.

    Args:
        folder: where the file with the rows goes; the caller removes it.
        kind: what a symbol is.
        length: the most symbols of a question or an answer; 0 for as many as there come.
    """

    def __init__(self, folder: Path, kind: Kind, length: int = 0) -> None:
        self.kind = kind
        self.limit = length or MOST_POSITIONS
        self.limit_name = f"--length {length}" if length else "a sequence's longest length"
        self.longest = 0
        self.separator: str | None = None
        self.symbols: list[Any] = []
        self._path = folder / "rows"
        self._file = self._path.open("wb")
        self._known = np.full(_CODE_POINTS if kind == "characters" else 0, -1, dtype=np.int32)
        self._canonical: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._waiting: list[str] = []
        self._waiting_symbols = 0
        self._counts = array("H")  # two of each row: symbols of its question, of its answer
        self._prints = bytearray()
        self._stored: NDArray[np.uint16] = np.empty(0, dtype=np.uint16)
        self._starts: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._common: tuple[str, str] | None = None
        self.question_counts: NDArray[np.uint16] = np.empty(0, dtype=np.uint16)
        self.answer_counts: NDArray[np.uint16] = np.empty(0, dtype=np.uint16)
        self.questions: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        """[R] a fingerprint of each question, after `finish`."""

    def __len__(self) -> int:
        return len(self._counts) // 2

    def add(self, question: str, answer: str) -> None:
        """Take one row.

        Raises:
            InputError: too many symbols, an integer that is none, or too many different symbols.
        """
        if self.kind == "integers":
            question, answer = self._integers(question, "question"), self._integers(answer, "answer")
        for text, what in ((question, "question"), (answer, "answer")):
            if self.kind == "integers":
                count = text.count(" ") + 1
            else:
                count = len(text)
                if "\0" in text:
                    raise InputError(f"{what} with the character NUL", "any other character", "remove it")
            if count > self.limit:
                raise InputError(
                    f"{what} of {count} {self.kind}",
                    f"{self.limit}, {self.limit_name}",
                    "shorten it, leave it out, or give a larger --length",
                )
            self.longest = max(self.longest, count)
            self._counts.append(count)
            self._waiting.append(text)
            self._waiting_symbols += count
        self._prints += fingerprint(question)
        self._note_common(question)
        if len(self._waiting) >= 2 * _TOGETHER or self._waiting_symbols >= _SYMBOLS_TOGETHER:
            self._write()

    def _note_common(self, question: str) -> None:
        if self._common is None:
            self._common = (question, question)
        before, after = self._common
        if not question.startswith(before) or not question.endswith(after):
            back = _shared_start(after[::-1], question[::-1])
            self._common = (_shared_start(before, question), back[::-1])

    def _integers(self, text: str, what: str) -> str:
        """The text with its integers as Python writes them, with one blank between two."""
        if self.separator is None:
            self.separator = separator_of(text)
        words = words_of(text)
        if not words:
            raise InputError(f"{what} without an integer", "at least one", "correct this row")
        try:
            return " ".join([self._canonical[word] for word in words])
        except KeyError:
            return " ".join([self._integer(word, what, place) for place, word in enumerate(words, 1)])

    def _integer(self, word: str, what: str, place: int) -> str:
        number = integer_of(word)
        if number is None:
            raise InputError(
                f"{what} with {word!r} at place {place}",
                "integers separated by blanks or commas",
                "correct it, or use --tokens characters",
            )
        if len(self._canonical) < _SPELLINGS:
            self._canonical[word] = str(number)
        return str(number)

    def _write(self) -> None:
        if self.kind == "characters":
            codes = code_points(self._waiting)
            numbers = self._known[codes]
            if (numbers < 0).any():
                new = np.unique(codes[numbers < 0])
                self._known[new] = np.arange(len(self.symbols), len(self.symbols) + len(new), dtype=np.int32)
                self.symbols += map(chr, new.tolist())
                numbers = self._known[codes]
        else:
            known = self._numbers
            numbers = np.array(
                [known.setdefault(word, len(known)) for text in self._waiting for word in text.split(" ")],
                dtype=np.int32,
            )
            self.symbols += map(int, list(known)[len(self.symbols) :])
        if len(self.symbols) > MOST_SYMBOLS:
            raise InputError(
                f"{len(self.symbols)} different {self.kind}",
                f"up to {MOST_SYMBOLS}",
                "write large numbers digit by digit (--tokens characters)",
            )
        self._file.write(numbers.astype(np.uint16).tobytes())
        self._waiting.clear()
        self._waiting_symbols = 0

    def finish(self) -> None:
        """All rows are there."""
        if self._waiting:
            self._write()
        self._file.close()
        counts = np.frombuffer(self._counts, dtype=np.uint16).reshape(-1, 2)
        self.question_counts, self.answer_counts = counts[:, 0], counts[:, 1]
        self.questions = np.frombuffer(bytes(self._prints), dtype="<u8").astype(np.uint64)
        ends = counts.astype(np.int64).sum(1).cumsum()
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else ends
        if len(ends):
            self._stored = np.memmap(self._path, dtype=np.uint16, mode="r")

    def close(self) -> None:
        """The file is needed no more."""
        self._file.close()

    def frame(self) -> tuple[str, str]:
        """What all questions begin and end with; no word or number is split, and something is left of each question."""
        before, after = self._common or ("", "")
        while before and before[-1].isalnum():
            before = before[:-1]
        while after and after[0].isalnum():
            after = after[1:]
        shortest = int(self.question_counts.min(initial=MOST_POSITIONS))
        if len(before) >= shortest:
            return "", ""
        return before, after if len(before) + len(after) < shortest else ""

    def row(self, number: int) -> tuple[bytes, bytes]:
        """Question and answer of one row, as bytes to compare."""
        low = int(self._starts[number])
        middle = low + int(self.question_counts[number])
        high = middle + int(self.answer_counts[number])
        return self._stored[low:middle].tobytes(), self._stored[middle:high].tobytes()

    def used_symbols(self, frame: tuple[str, str]) -> list[Any]:
        """The symbols that occur, in ascending order, where the frame of each question is left out."""
        used = np.zeros(len(self.symbols), dtype=np.bool_)
        for chunk in self._chunks(np.arange(len(self))):
            for starts, counts in (self._questions(chunk, frame), self._answers(chunk)):
                numbers, real = self._gathered(starts, counts, int(counts.max(initial=0)))
                used[numbers[real]] = True
        return sorted(symbol for symbol, there in zip(self.symbols, used.tolist(), strict=True) if there)

    def encoded(
        self, task: Table, chosen: NDArray[np.int64]
    ) -> Iterator[tuple[slice, NDArray[Any], NDArray[Any]]]:
        """The rows named, a chunk at a time: where they belong, and their tokens [N, L] and [N, L]."""
        token = {symbol: number for number, symbol in enumerate(task.symbols.symbols, FIRST_SYMBOL)}
        tokens = np.array([token.get(symbol, 0) for symbol in self.symbols], dtype=task.symbols.dtype)
        done = 0
        for chunk in self._chunks(chosen):
            pair = []
            for starts, counts in (self._questions(chunk, task.frame), self._answers(chunk)):
                numbers, real = self._gathered(starts, counts, task.length)
                pair.append(task.aligned(np.where(real, tokens[numbers], 0).astype(tokens.dtype)))
            yield slice(done, done + len(chunk)), pair[0], task.with_ends(pair[1])
            done += len(chunk)

    def _chunks(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        step = max(1, min(_TOGETHER, _SYMBOLS_TOGETHER // max(self.longest, 1)))
        return (rows[low : low + step] for low in range(0, len(rows), step))

    def _questions(
        self, rows: NDArray[np.int64], frame: tuple[str, str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        before, after = map(len, frame)
        return self._starts[rows] + before, self.question_counts[rows].astype(np.int64) - before - after

    def _answers(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._starts[rows] + self.question_counts[rows], self.answer_counts[rows].astype(np.int64)

    def _gathered(
        self, starts: NDArray[np.int64], counts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Provisional numbers [N, length], and which places are real."""
        steps = np.arange(length, dtype=np.int64)
        real = steps < counts[:, None]
        places = np.minimum(starts[:, None] + steps, len(self._stored) - 1)
        return np.asarray(self._stored[places]), real


def _shared_start(first: str, second: str) -> str:
    both = zip(first, second, strict=False)
    return first[: next((place for place, (a, b) in enumerate(both) if a != b), min(len(first), len(second)))]


def same_rows(rows: Rows) -> tuple[NDArray[np.int64], tuple[int, int] | None]:
    """For each row [R] the first one with its question; and the first two rows that contradict each other."""
    first = np.arange(len(rows), dtype=np.int64)
    order = rows.questions.argsort(kind="stable")
    ordered = rows.questions[order]
    equal = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    contradictions: list[tuple[int, int]] = []
    known: dict[bytes, int] = {}
    for place in equal.tolist():
        row = int(order[place])
        if place < 2 or ordered[place] != ordered[place - 2]:
            before = int(order[place - 1])
            known = {rows.row(before)[0]: before}
        question, answer = rows.row(row)
        first[row] = known.setdefault(question, row)
        if first[row] != row and rows.row(int(first[row]))[1] != answer:
            contradictions.append((row, int(first[row])))
    return first, min(contradictions, default=None)
