"""The yardstick: what it answers follows from counts that can be done by hand."""

import itertools

import numpy as np
import pytest

from thinkling.data.text_store import TokenDocuments
from thinkling.errors import InputError
from thinkling.thinking_bert.count_baseline import CountBaseline

VOCABULARY = 20


def corpus(*documents):
    starts = np.concatenate([[0], np.cumsum([len(tokens) for tokens in documents])]).astype(np.int64)
    return TokenDocuments(tokens=np.array([*itertools.chain(*documents)], dtype=np.uint16), starts=starts)


def guess(baseline, row, place, documents=None):
    row = np.array([row])
    numbers = np.ones_like(row) if documents is None else np.array([documents])
    return int(baseline.predict(row, numbers, np.array([[place]]))[0, 0])


@pytest.fixture(scope="module")
def baseline():
    return CountBaseline().fit(
        corpus(
            [5, 6, 7],
            [5, 6, 7],
            [5, 8, 7],
            [9, 10, 11, 12],
            [13, 10, 14],
            [5, 8, 15],
            [16, 6, 15, 17],
            [8] * 5,
        ),
        VOCABULARY,
    )


def test_the_most_frequent_token_between_the_neighbours(baseline):
    assert guess(baseline, [2, 5, 4, 7, 3], 2) == 6  # 6 twice, 8 once


def test_among_equals_the_more_frequent_one(baseline):
    again = CountBaseline().fit(corpus([5, 6, 7], [5, 8, 7], [8, 9]), VOCABULARY)
    assert guess(again, [2, 5, 4, 7, 3], 2) == 8
    assert guess(CountBaseline().fit(corpus([5, 6, 7], [5, 8, 7], [6, 9]), VOCABULARY), [5, 4, 7], 1) == 6


def test_neighbours_that_never_met(baseline):
    """After 9 comes 10, before 14 comes 10."""
    assert guess(baseline, [2, 9, 4, 14, 3], 2) == 10


def test_neighbours_that_never_met_take_the_best_product():
    """Between 5 and 9: for 6 it is 1 * 3 / 6, for 7 it is 1 * 2 / 3."""
    trained = CountBaseline().fit(
        corpus([5, 6, 10], [5, 7, 10], *[[11, 6, 9]] * 3, *[[11, 7, 9]] * 2, [6, 6, 12]), VOCABULARY
    )
    assert guess(trained, [2, 5, 4, 9, 3], 2) == 7


def test_neighbours_that_share_nothing_take_the_surer_side(baseline):
    """After 9 always 10; before 15 stands 8 or 6, before 7 stands 6 twice and 8 once."""
    assert guess(baseline, [2, 9, 4, 7, 3], 2) == 10


def test_one_neighbour(baseline):
    assert guess(baseline, [2, 13, 4, 4, 3], 2) == 10  # the right one is masked
    assert guess(baseline, [2, 4, 4, 12, 3], 2) == 11  # the left one is masked
    assert guess(baseline, [2, 13, 4, 0, 0], 2) == 10  # beside it is padding
    assert guess(baseline, [4, 12], 0) == 11  # the row begins
    assert guess(baseline, [13, 4], 1) == 10  # the row ends
    assert guess(baseline, [13, 4, 15], 1, documents=[1, 1, 2]) == 10  # another piece


def test_no_neighbour_or_an_unseen_one(baseline):
    assert guess(baseline, [2, 4, 4, 4, 3], 2) == 8
    assert guess(baseline, [2, 18, 4, 19, 3], 2) == 8


def test_begin_and_end_count_as_neighbours(baseline):
    assert guess(baseline, [2, 4, 10, 3], 1) in (9, 13)
    assert guess(baseline, [2, 13, 10, 4, 3], 3) == 14
    assert guess(baseline, [2, 4, 3], 1) == 8  # the only token that begins a document and ends one


def test_the_place_itself_is_not_looked_at(baseline):
    assert guess(baseline, [2, 5, 8, 7, 3], 2) == guess(baseline, [2, 5, 4, 7, 3], 2) == 6


def test_it_counts_like_a_slow_reader():
    """Against a direct reading of the rules, on random documents."""
    random = np.random.default_rng(0)
    documents = [random.integers(5, 12, random.integers(1, 30)) for _ in range(40)]
    baseline = CountBaseline().fit(corpus(*documents), 12)
    framed = [[2, *map(int, tokens), 3] for tokens in documents]
    single = np.bincount(np.concatenate(documents), minlength=12)
    pairs = {}
    triples = {}
    for tokens in framed:
        for a, b in itertools.pairwise(tokens):
            pairs[a, b] = pairs.get((a, b), 0) + 1
        for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False):
            triples[a, b, c] = triples.get((a, b, c), 0) + 1
    for left in (2, *range(5, 12)):
        for right in (3, *range(5, 12)):
            between = {m: triples.get((left, m, right), 0) for m in range(5, 12)}
            score = (
                between
                if any(between.values())
                else {m: pairs.get((left, m), 0) * pairs.get((m, right), 0) / single[m] for m in range(5, 12)}
            )
            found = guess(baseline, [left, 4, right], 1)
            if any(score.values()):
                assert score[found] == max(score.values())
                if score is between:
                    assert single[found] == max(single[m] for m in score if score[m] == score[found])
        after = {m: pairs.get((left, m), 0) for m in range(5, 12)}
        assert after[guess(baseline, [left, 4, 4], 1)] == max(after.values())


def test_rows_with_fewer_places_are_padded(baseline):
    inputs = np.array([[2, 5, 4, 7, 3], [2, 4, 4, 3, 0]])
    documents = (inputs > 0).astype(np.int64)
    positions = np.array([[2, -1], [1, 2]])
    predicted = baseline.predict(inputs, documents, positions)
    assert predicted.shape == (2, 2)
    assert predicted[0].tolist() == [6, -1]
    assert (predicted[1] >= 5).all()
    nothing = baseline.predict(inputs, documents, np.full((2, 2), -1))
    assert (nothing == -1).all()


def test_nothing_to_count_is_refused():
    with pytest.raises(InputError, match="documents without tokens"):
        CountBaseline().fit(corpus([], []), VOCABULARY)
    with pytest.raises(RuntimeError, match="fit comes first"):
        guess(CountBaseline(), [2, 4, 3], 1)


def test_a_single_token_is_a_corpus():
    assert guess(CountBaseline().fit(corpus([7]), VOCABULARY), [2, 5, 4, 6, 3], 2) == 7
