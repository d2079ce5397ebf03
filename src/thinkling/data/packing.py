"""Rows of one length from documents of any length: each token of the corpus once in an epoch.

A row holds pieces, each as `<CLS> tokens <SEP>`. A document longer than a row is cut into pieces that fill a row; what
is left over is packed together with what is left of others, the longest first, each into the row with the least room
that suffices (best fit decreasing; Krell et al. 2021, arXiv 2107.02027, likewise work on the counts of lengths).

Shapes: N tokens, Q pieces, R rows, K rows asked for, L positions of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkling.data.text_store import TokenDocuments
from thinkling.data.tokenizer import SPECIALS
from thinkling.errors import InputError

_PAD, _CLS, _SEP = (SPECIALS.index(name) for name in ("<PAD>", "<CLS>", "<SEP>"))
_FRAME = 2  # <CLS> and <SEP>


class Packing:
    """Rows of `length` positions over tokenised documents; which piece lies where is decided when it is made."""

    def __init__(self, documents: TokenDocuments, length: int) -> None:
        """Decides where every piece goes: one pass over the lengths of the documents, not over the tokens.

        Raises:
            InputError: a length without room for one token.
        """
        if length <= _FRAME:
            raise InputError(
                f"rows of {length} positions", f"{_FRAME + 1} or more: <CLS>, one token, <SEP>", "give more"
            )
        self.length = length
        self._tokens = documents.tokens
        starts = np.asarray(documents.starts, dtype=np.int64)
        room = length - _FRAME
        whole, rest = np.divmod(np.diff(starts), room)
        # The pieces that fill a row: piece j of a document begins j rooms after it.
        number = np.arange(whole.sum()) - np.repeat(np.cumsum(whole) - whole, whole)
        full = np.repeat(starts[:-1], whole) + number * room
        left = np.flatnonzero(rest)
        sizes = np.concatenate([np.full(len(full), room), rest[left]])
        rows = np.concatenate([np.arange(len(full)), len(full) + _best_fit(rest[left] + _FRAME, length)])
        begins = np.concatenate([full, (starts[:-1] + whole * room)[left]])
        order = np.argsort(rows, kind="stable")
        self._begins, self._sizes = begins[order], sizes[order]
        """[Q] where in the corpus a piece begins and how long it is, row by row."""
        count = int(rows.max()) + 1 if len(rows) else 0
        self._first_piece = np.searchsorted(rows[order], np.arange(count + 1))
        """[R + 1] the first piece of each row."""

    def __len__(self) -> int:
        """How many rows an epoch has: R."""
        return len(self._first_piece) - 1

    @property
    def fill(self) -> float:
        """The share of positions that hold a token of the corpus."""
        return float(self._sizes.sum() / max(1, len(self) * self.length))

    def rows(self, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows with these numbers.

        Args:
            which: [K] numbers from 0 to R - 1.

        Returns:
            Tokens [K, L], padded with `<PAD>`; documents [K, L], 0 at padding, else 1, 2, … the number of the piece.
        """
        which = np.asarray(which, dtype=np.int64)
        first, count = self._first_piece[which], self._first_piece[which + 1] - self._first_piece[which]
        number = _counting(count)
        row = np.repeat(np.arange(len(which)), count)
        piece = np.repeat(first, count) + number
        sizes = self._sizes[piece]
        framed = sizes + _FRAME
        # Where in the row a piece begins: what lies before it in the batch, less what lies before its row.
        before = np.cumsum(framed) - framed
        column = before - before[np.searchsorted(row, row)]
        start = row * self.length + column
        tokens = np.full(len(which) * self.length, _PAD, dtype=np.int64)
        documents = np.zeros(len(which) * self.length, dtype=np.int64)
        inside = _counting(sizes)
        tokens[np.repeat(start + 1, sizes) + inside] = self._tokens[
            np.repeat(self._begins[piece], sizes) + inside
        ]
        tokens[start], tokens[start + sizes + 1] = _CLS, _SEP
        documents[np.repeat(start, framed) + _counting(framed)] = np.repeat(number + 1, framed)
        shape = (len(which), self.length)
        return tokens.reshape(shape), documents.reshape(shape)


def _counting(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … counts[0] - 1, 0, 1, … counts[1] - 1 and so on."""
    return np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)


def _best_fit(sizes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The row of each piece, rows numbered from 0.

    Pieces of one size are placed together, and rows with the same room are used together, so that the work grows with
    the number of different lengths and not with the number of pieces.
    """
    rows = np.empty(len(sizes), dtype=np.int64)
    by_size = np.argsort(-sizes, kind="stable")
    with_room: list[list[NDArray[np.int64]]] = [[] for _ in range(length + 1)]
    """For each room that is left, the rows that have it."""
    has_rows = np.zeros(length + 1, dtype=np.bool_)
    opened = 0
    for end in (np.flatnonzero(np.diff(sizes[by_size], append=0)) + 1).tolist():
        pieces = by_size[:end]  # those of one size, and before them the placed ones
        size = int(sizes[pieces[-1]])
        place = int(np.searchsorted(-sizes[pieces], -size))
        while place < end:
            fits = np.flatnonzero(has_rows[size:length])
            if len(fits):
                room = size + int(fits[0])
                group = np.concatenate(with_room[room])
                with_room[room], has_rows[room] = [], False
            else:
                room, group = length, opened + np.arange(-(-(end - place) // (length // size)))
                opened += len(group)
            # A row takes as many as it has room for: after each one it has the least room of all.
            each = room // size
            count = min(end - place, each * len(group))
            used = -(-count // each)
            rows[pieces[place : place + count]] = np.repeat(group[:used], each)[:count]
            place += count
            last = count - (used - 1) * each
            for now, part in (
                (room, group[used:]),
                (room - each * size, group[: used - 1]),
                (room - last * size, group[used - 1 : used]),
            ):
                if len(part):
                    with_room[now].append(part)
                    has_rows[now] = True
    return rows
