"""Packing: every token of the corpus once, each piece framed, little room wasted."""

import time

import numpy as np
import pytest

from thinkling.data.packing import Packing
from thinkling.data.text_store import TokenDocuments
from thinkling.errors import InputError


def corpus(sizes):
    """Documents of these sizes; token i of the corpus is 5 + i, so that each one can be told apart."""
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return TokenDocuments(tokens=(5 + np.arange(starts[-1])).astype(np.uint32), starts=starts)


SIZES = {
    "mixed": np.random.default_rng(0).geometric(1 / 30, 300),
    "short": np.random.default_rng(1).integers(1, 9, 500),
    "one": np.array([1000]),
    "exact": np.array([14, 28, 14]),
    "empty between": np.array([0, 3, 0, 0, 40, 0]),
}


def pieces(tokens, documents):
    """The pieces of rows, frames checked and taken off."""
    for row, numbers in zip(tokens, documents, strict=True):
        count = numbers.max()
        assert (np.diff(numbers[numbers > 0]) >= 0).all()
        assert (row[numbers == 0] == 0).all()
        assert (numbers[(numbers > 0).sum() :] == 0).all()  # padding is at the end
        for number in range(1, count + 1):
            piece = row[numbers == number]
            assert (piece[0], piece[-1]) == (2, 3)
            assert len(piece) > 2
            yield piece[1:-1]


@pytest.mark.parametrize("length", [3, 16, 64, 2000])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_token_appears_once(sizes, length):
    documents = corpus(sizes)
    packing = Packing(documents, length)
    tokens, numbers = packing.rows(np.arange(len(packing)))
    assert tokens.shape == numbers.shape == (len(packing), length)
    assert tokens.dtype == numbers.dtype == np.int64
    found = list(pieces(tokens, numbers))
    assert np.array_equal(np.sort(np.concatenate(found)), documents.tokens)
    of_document = np.repeat(np.arange(len(documents)), sizes)
    for piece in found:
        assert (np.diff(piece) == 1).all()
        assert len(np.unique(of_document[piece - 5])) == 1  # no piece reaches into the next document
    whole = np.ceil(sizes / (length - 2)).astype(int)
    assert len(found) == whole.sum()
    assert packing.fill == pytest.approx(sizes.sum() / tokens.size)


def test_rows_are_asked_for_in_any_order():
    packing = Packing(corpus(SIZES["mixed"]), 32)
    tokens, numbers = packing.rows(np.arange(len(packing)))
    which = np.array([5, 3, 3, len(packing) - 1, 0])
    some, some_numbers = packing.rows(which)
    assert np.array_equal(some, tokens[which])
    assert np.array_equal(some_numbers, numbers[which])
    none, _ = packing.rows(np.zeros(0, dtype=np.int64))
    assert none.shape == (0, 32)
    with pytest.raises(IndexError):
        packing.rows(np.array([len(packing)]))


def test_little_room_is_wasted():
    sizes = np.random.default_rng(2).geometric(1 / 100, 5000)
    packing = Packing(corpus(sizes), 128)
    framed = sizes + 2 * np.ceil(sizes / 126)
    assert len(packing) <= 1.01 * framed.sum() / 128


def test_pieces_fill_what_is_left_of_others():
    """6 + 2 and 4 + 2 fit into a row of 14, and so do two of 5 + 2; the longest is placed first."""
    packing = Packing(corpus(np.array([5, 4, 6, 5])), 14)
    _, numbers = packing.rows(np.arange(len(packing)))
    assert (numbers > 0).all()
    assert len(packing) == 2


def test_a_row_with_room_is_used_again_by_pieces_of_the_same_length():
    packing = Packing(corpus(np.array([40, *[3] * 12])), 100)
    assert len(packing) == 2
    _, numbers = packing.rows(np.arange(2))
    assert numbers.max(1).tolist() == [12, 1]


def test_an_empty_corpus_has_no_rows():
    packing = Packing(corpus(np.zeros(0, dtype=int)), 16)
    assert len(packing) == 0
    assert packing.fill == 0


def test_too_short_rows_are_refused():
    with pytest.raises(InputError, match=r"rows of 2 positions.*3 or more"):
        Packing(corpus(SIZES["mixed"]), 2)


def test_ten_million_tokens_take_no_time():
    sizes = np.random.default_rng(3).integers(1, 40, 500_000)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    documents = TokenDocuments(tokens=np.full(starts[-1], 7, np.uint16), starts=starts)
    began = time.perf_counter()
    Packing(documents, 512)
    assert time.perf_counter() - began < 2
