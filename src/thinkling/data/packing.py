"""Rows of one length from documents of any length: each token of the corpus once in an epoch.

A row holds pieces. A document longer than a row is cut into pieces that fill a row; what is left over is packed
together with what is left of others, the longest first, each into the row with the least room that suffices (best fit
decreasing; Krell et al. 2021, arXiv 2107.02027, likewise work on the counts of lengths).

`Packing` frames every piece, as `<CLS> tokens <SEP>`, for a model that looks both ways. `NextTokenPacking` frames
documents only, as `<bos> tokens <eos>`: a cut inside one is no end of a text.

Shapes: N tokens, Q pieces, R rows, K rows asked for, L positions of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkling.data.text_store import TokenDocuments
from thinkling.data.token_rows import IGNORED, TokenRows
from thinkling.data.tokenizer import SPECIALS
from thinkling.errors import InputError

_PAD, _CLS, _SEP = (SPECIALS.index(name) for name in ("<PAD>", "<CLS>", "<SEP>"))
_FRAME = 2  # <CLS> and <SEP>


class Packing:
    """Rows of `length` positions, each piece framed; which piece lies where is decided when it is made."""

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
        rows = np.concatenate([np.arange(len(full)), len(full) + best_fit(rest[left] + _FRAME, length)])
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
        piece, number, start = _laid_out(which, self._first_piece, self._sizes + _FRAME, self.length)
        sizes = self._sizes[piece]
        framed = sizes + _FRAME
        tokens = np.full(len(which) * self.length, _PAD, dtype=np.int64)
        documents = np.zeros(len(which) * self.length, dtype=np.int64)
        inside = counting(sizes)
        tokens[np.repeat(start + 1, sizes) + inside] = self._tokens[
            np.repeat(self._begins[piece], sizes) + inside
        ]
        tokens[start], tokens[start + sizes + 1] = _CLS, _SEP
        documents[np.repeat(start, framed) + counting(framed)] = np.repeat(number + 1, framed)
        shape = (len(which), self.length)
        return tokens.reshape(shape), documents.reshape(shape)


class NextTokenPacking:
    """Rows of `length` positions for learning to predict the next token.

    A document of n tokens has n + 1 positions: before each of its tokens, and before its end. What is read there is
    `<bos>` and the tokens; what is asked there, the tokens and `<eos>`. So something is asked at every position, also
    at the last one of a piece that goes on in another row.
    """

    def __init__(self, documents: TokenDocuments, length: int, *, bos_id: int, eos_id: int) -> None:
        """Decides where every piece goes: one pass over the lengths of the documents, not over the tokens.

        Raises:
            InputError: no room for a position.
        """
        if length < 1:
            raise InputError(f"rows of {length} positions", "1 or more", "give more")
        self.length = length
        self._bos, self._eos = bos_id, eos_id
        self._tokens = documents.tokens
        starts = np.asarray(documents.starts, dtype=np.int64)
        sizes = np.diff(starts)
        positions = np.where(sizes > 0, sizes + 1, 0)
        whole, rest = np.divmod(positions, length)
        owner = np.repeat(np.arange(len(sizes)), whole)
        left = np.flatnonzero(rest)
        offsets = np.concatenate([counting(whole) * length, (whole * length)[left]])
        piece_sizes = np.concatenate([np.full(len(owner), length), rest[left]])
        rows = np.concatenate([np.arange(len(owner)), len(owner) + best_fit(rest[left], length)])
        owner = np.concatenate([owner, left])
        order = np.argsort(rows, kind="stable")
        self._begins = (starts[:-1][owner] + offsets)[order]
        """[Q] where in the corpus the token lies that is asked at a piece's first position."""
        self._sizes = piece_sizes[order]
        """[Q] positions of a piece."""
        self._first = (offsets == 0)[order]
        self._last = (offsets + piece_sizes == positions[owner])[order]
        """[Q] whether a piece begins, and ends, its document."""
        count = int(rows.max()) + 1 if len(rows) else 0
        self._first_piece = np.searchsorted(rows[order], np.arange(count + 1))

    def __len__(self) -> int:
        """How many rows an epoch has: R."""
        return len(self._first_piece) - 1

    @property
    def positions(self) -> int:
        """Positions of all rows at which something is asked."""
        return int(self._sizes.sum())

    def rows(self, which: NDArray[np.int64]) -> TokenRows:
        """The rows with these numbers [K], each from 0 to R - 1; padding is token 0."""
        which = np.asarray(which, dtype=np.int64)
        piece, number, start = _laid_out(which, self._first_piece, self._sizes, self.length)
        sizes = self._sizes[piece]
        place = np.repeat(start, sizes) + counting(sizes)
        asked = np.repeat(self._begins[piece], sizes) + counting(sizes)
        inputs = np.zeros(len(which) * self.length, dtype=np.int64)
        labels = np.full(len(which) * self.length, IGNORED, dtype=np.int64)
        documents = np.zeros(len(which) * self.length, dtype=np.int64)
        highest = len(self._tokens) - 1
        # Where a document begins or ends, a neighbour's token is read here and replaced below.
        inputs[place] = self._tokens[np.maximum(asked - 1, 0)]
        labels[place] = self._tokens[np.minimum(asked, highest)]
        documents[place] = np.repeat(number + 1, sizes)
        inputs[start[self._first[piece]]] = self._bos
        labels[(start + sizes - 1)[self._last[piece]]] = self._eos
        shape = (len(which), self.length)
        return TokenRows(
            inputs=inputs.reshape(shape), labels=labels.reshape(shape), documents=documents.reshape(shape)
        )


def _laid_out(
    which: NDArray[np.int64], first_piece: NDArray[np.int64], sizes: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pieces of some rows [K], one behind the other.

    Args:
        which: [K] the rows.
        first_piece: [R + 1] the first piece of each row.
        sizes: [Q] positions that each piece takes.
        length: positions of a row.

    Returns:
        For each of these pieces its number, its place among those of its row, and the position in the [K * L]
        positions of all these rows at which it begins.
    """
    first, count = first_piece[which], first_piece[which + 1] - first_piece[which]
    number = counting(count)
    row = np.repeat(np.arange(len(which)), count)
    piece = np.repeat(first, count) + number
    taken = sizes[piece]
    # Where in the row a piece begins: what lies before it in the batch, less what lies before its row.
    before = np.cumsum(taken) - taken
    column = before - before[np.searchsorted(row, row)]
    return piece, number, row * length + column


def counting(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, … counts[0] - 1, 0, 1, … counts[1] - 1 and so on."""
    return np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)


def best_fit(sizes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
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
