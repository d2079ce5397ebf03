"""Rows for next-token training: every token is asked for once, also across a cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from thinkling.data.packing import NextTokenPacking
from thinkling.data.text_store import TokenDocuments
from thinkling.errors import InputError

BOS, EOS = 1, 2


def corpus(sizes):
    """Documents of these sizes; token i of the corpus is 8 + i."""
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return TokenDocuments(tokens=(8 + np.arange(starts[-1])).astype(np.uint32), starts=starts)


SIZES = {
    "mixed": np.random.default_rng(0).geometric(1 / 30, 300),
    "one": np.array([1000]),
    "exact": np.array([15, 31, 16]),
    "empty between": np.array([0, 3, 0, 0, 40, 0]),
}


@pytest.mark.parametrize("length", [1, 16, 64, 2000])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_step_of_every_document_is_asked_once(sizes, length):
    """(what is read, what is asked) over all rows are those of `<bos> tokens <eos>`, each once."""
    documents = corpus(sizes)
    packing = NextTokenPacking(documents, length, bos_id=BOS, eos_id=EOS)
    rows = packing.rows(np.arange(len(packing)))
    assert rows.inputs.shape == rows.labels.shape == rows.documents.shape == (len(packing), length)
    real = rows.documents > 0
    assert (rows.labels[~real] == -100).all()
    assert (rows.inputs[~real] == 0).all()
    expected = []
    for number in range(len(documents)):
        if sizes[number]:
            framed = [BOS, *documents[number].tolist(), EOS]
            expected += list(itertools.pairwise(framed))
    found = list(zip(rows.inputs[real].tolist(), rows.labels[real].tolist(), strict=True))
    assert sorted(found) == sorted(expected)
    assert packing.positions == len(expected)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_inside_a_piece_the_label_is_read_next(sizes):
    rows = NextTokenPacking(corpus(sizes), 16, bos_id=BOS, eos_id=EOS)
    rows = rows.rows(np.arange(len(rows)))
    together = (rows.documents[:, 1:] == rows.documents[:, :-1]) & (rows.documents[:, 1:] > 0)
    assert (rows.labels[:, :-1][together] == rows.inputs[:, 1:][together]).all()
    new = (rows.documents[:, 1:] != rows.documents[:, :-1]) & (rows.documents[:, 1:] > 0)
    begins = rows.inputs[:, 1:][new]
    assert ((begins == BOS) | (rows.inputs[:, 1:][new] >= 8)).all()


def test_a_cut_is_no_end_of_a_text():
    rows = NextTokenPacking(corpus(np.array([40])), 16, bos_id=BOS, eos_id=EOS)
    rows = rows.rows(np.arange(len(rows)))
    assert int((rows.labels == EOS).sum()) == 1
    assert int((rows.inputs == BOS).sum()) == 1


def test_rows_are_asked_for_in_any_order():
    packing = NextTokenPacking(corpus(SIZES["mixed"]), 32, bos_id=BOS, eos_id=EOS)
    whole = packing.rows(np.arange(len(packing)))
    which = np.array([5, 3, 3, len(packing) - 1, 0])
    some = packing.rows(which)
    assert np.array_equal(some.inputs, whole.inputs[which])
    assert np.array_equal(some.labels, whole.labels[which])


def test_little_room_is_wasted():
    sizes = np.random.default_rng(2).geometric(1 / 100, 5000)
    packing = NextTokenPacking(corpus(sizes), 128, bos_id=BOS, eos_id=EOS)
    assert packing.positions > 0.99 * len(packing) * 128


def test_an_empty_corpus_and_rows_without_room():
    assert len(NextTokenPacking(corpus(np.zeros(3, dtype=int)), 16, bos_id=BOS, eos_id=EOS)) == 0
    with pytest.raises(InputError, match="rows of 0 positions"):
        NextTokenPacking(corpus(SIZES["one"]), 0, bos_id=BOS, eos_id=EOS)
