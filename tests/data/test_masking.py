"""Masking: exactly as many tokens as asked for, a function of seed and item, words whole where asked for."""

import time

import numpy as np
import pytest

from thinkling.data.masking import MaskingConfig, mask_tokens, most_positions
from thinkling.data.packing import Packing
from thinkling.data.text_store import TokenDocuments
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError

LENGTH = 64
TEXTS = [
    f"The unbelievable number {n} (or {n * n}) was written, misunderstood and rewritten by clerk {n % 7}."
    for n in range(200)
]


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.train(TEXTS, 290)


@pytest.fixture(scope="module")
def rows(tokenizer):
    encoded = tokenizer.encode_batch(TEXTS)
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in encoded])])
    documents = TokenDocuments(tokens=np.concatenate(encoded).astype(np.uint16), starts=starts)
    packing = Packing(documents, LENGTH)
    return packing.rows(np.arange(len(packing)))


def masked(rows, tokenizer, *, seed=0, items=None, **settings):
    tokens, documents = rows
    items = np.arange(len(tokens)) if items is None else items
    return mask_tokens(tokens, documents, items, seed, MaskingConfig(**settings), tokenizer)


def spread(positions, length=LENGTH):
    """Positions as [K, L] bool."""
    chosen = np.zeros((len(positions), length + 1), dtype=bool)
    np.put_along_axis(chosen, positions, True, axis=1)
    return chosen[:, :length]  # -1 has gone to the last column


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_shapes_positions_and_labels_agree(rows, tokenizer, rate, whole_words):
    tokens, documents = rows
    inputs, positions, labels = masked(rows, tokenizer, rate=rate, whole_words=whole_words)
    most = most_positions(LENGTH, rate)
    assert inputs.shape == tokens.shape
    assert positions.shape == labels.shape == (len(tokens), most)
    for row in range(len(tokens)):
        places = positions[row][positions[row] >= 0]
        assert (positions[row][len(places) :] == -1).all()
        assert (labels[row][len(places) :] == -100).all()
        assert (np.diff(places) > 0).all()
        assert (labels[row][: len(places)] == tokens[row, places]).all()
        assert (tokens[row, places] >= 5).all()
        assert (documents[row, places] > 0).all()
        assert len(places) >= 1
    assert (inputs[~spread(positions)] == tokens[~spread(positions)]).all()


@pytest.mark.parametrize("rate", [0.01, 0.15, 0.3, 0.5])
def test_exactly_the_share_is_chosen(rows, tokenizer, rate):
    tokens, documents = rows
    _, positions, _ = masked(rows, tokenizer, rate=rate)
    maskable = ((tokens >= 5) & (documents > 0)).sum(1)
    expected = [max(1, round(rate * count)) for count in maskable.tolist()]
    assert (positions >= 0).sum(1).tolist() == expected


def test_every_token_is_chosen_alike(rows, tokenizer):
    tokens, documents = (part[:4] for part in rows)
    maskable = (tokens >= 5) & (documents > 0)
    times = np.zeros(tokens.shape)
    for repeat in range(1500):
        _, positions, _ = masked((tokens, documents), tokenizer, items=np.arange(4) + 4 * repeat)
        times += spread(positions)
    assert (times[~maskable] == 0).all()
    # 1500 draws with probability 0.3: the standard deviation of the share is 0.012.
    assert np.abs(times[maskable] / 1500 - 0.3).max() < 0.055


def test_what_stands_in_the_places(rows, tokenizer):
    tokens, documents = (np.tile(part, (40, 1)) for part in rows)
    for mask_share, random_share in ((0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)):
        inputs, positions, _ = masked(
            (tokens, documents), tokenizer, mask_share=mask_share, random_share=random_share
        )
        chosen = spread(positions)
        now, true = inputs[chosen], tokens[chosen]
        hidden = (now == tokenizer.mask_id).mean()
        other = ((now != tokenizer.mask_id) & (now != true)).mean()
        assert hidden == pytest.approx(mask_share, abs=0.01)
        assert other == pytest.approx(random_share, abs=0.01)
        random = now[(now != tokenizer.mask_id) & (now != true)]
        if len(random) > 20_000:
            assert random.min() >= 5
            assert len(np.unique(random)) == tokenizer.vocab_size - 5


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_row_depends_on_seed_and_item_only(rows, tokenizer, whole_words):
    tokens, documents = rows
    before = tokens.copy()
    items = 1000 + np.arange(len(tokens))
    all_at_once = masked(rows, tokenizer, items=items, whole_words=whole_words)
    assert np.array_equal(tokens, before)
    order = np.random.default_rng(0).permutation(len(tokens))
    for part in np.array_split(order, 5):
        some = masked((tokens[part], documents[part]), tokenizer, items=items[part], whole_words=whole_words)
        for whole, piece in zip(all_at_once, some, strict=True):
            assert np.array_equal(whole[part], piece)
    for other in (
        masked(rows, tokenizer, items=items, seed=1, whole_words=whole_words),
        masked(rows, tokenizer, items=items + 1, whole_words=whole_words),
    ):
        assert (spread(other[1]) != spread(all_at_once[1])).any(1).mean() > 0.9


def test_words_are_chosen_whole(rows, tokenizer):
    tokens, documents = (np.tile(part, (20, 1)) for part in rows)
    _, positions, _ = masked((tokens, documents), tokenizer, whole_words=True)
    chosen = spread(positions)
    maskable = (tokens >= 5) & (documents > 0)
    longer = 0
    for row in range(len(tokens)):
        for place in range(1, LENGTH):
            joined = (
                maskable[row, place]
                and maskable[row, place - 1]
                and not tokenizer.word_starts[tokens[row, place]]
                and not tokenizer.word_ends[tokens[row, place - 1]]
            )
            if joined:
                assert chosen[row, place] == chosen[row, place - 1]
                longer += chosen[row, place]
    assert longer > 100
    assert chosen[maskable].mean() == pytest.approx(0.3, abs=0.005)
    assert len(np.unique(chosen.sum(1))) > 1


def test_a_word_longer_than_all_places_is_never_chosen(tokenizer):
    ids = tokenizer.encode("x" * 40 + " ab")
    tokens = np.zeros((1, LENGTH), dtype=np.int64)
    tokens[0, : len(ids) + 2] = [2, *ids, 3]
    documents = (tokens > 0).astype(np.int64)
    last = set(range(len(ids) + 1 - len(tokenizer.encode(" ab")), len(ids) + 1))
    for item in range(20):
        _, positions, _ = masked(
            (tokens, documents), tokenizer, items=np.array([item]), whole_words=True, rate=0.15
        )
        assert set(positions[positions >= 0].tolist()) == last
    tokens[0, 1 : len(ids) + 1] = tokenizer.encode("x")[0]
    _, positions, labels = masked((tokens, documents), tokenizer, whole_words=True, rate=0.15)
    assert (positions == -1).all()
    assert (labels == -100).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_rows_without_words(tokenizer, whole_words):
    tokens = np.zeros((3, 8), dtype=np.int64)
    tokens[1, :3], tokens[2, :2] = [2, 9, 3], [2, 3]
    documents = (tokens > 0).astype(np.int64)
    inputs, positions, labels = masked(
        (tokens, documents), tokenizer, whole_words=whole_words, mask_share=1, random_share=0
    )
    assert positions.tolist() == [[-1, -1], [1, -1], [-1, -1]]
    assert labels.tolist() == [[-100, -100], [9, -100], [-100, -100]]
    assert inputs[1].tolist() == [2, 4, 3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("length", "rate", "most"), [(512, 0.3, 153), (128, 0.15, 19), (3, 0.3, 1), (8, 0.3, 2)]
)
def test_how_many_places_there_are(length, rate, most):
    assert most_positions(length, rate) == most


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 0}, "rate 0; allowed: more than 0"),
        ({"rate": 1.0}, "rate 1.0"),
        ({"rate": float("nan")}, "rate nan"),
        ({"mask_share": -0.1}, "mask_share -0.1; allowed: 0 to 1"),
        ({"random_share": 1.1}, "random_share 1.1"),
        ({"mask_share": 0.8, "random_share": 0.3}, "together at most 1"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        MaskingConfig(**settings)


def test_masking_does_not_hold_training_up(rows, tokenizer):
    """300,000 tokens a second at least, on one core."""
    tokens, documents = (np.tile(part, (20, 8)) for part in rows)
    for whole_words in (False, True):
        began = time.perf_counter()
        mask_tokens(
            tokens, documents, np.arange(len(tokens)), 0, MaskingConfig(whole_words=whole_words), tokenizer
        )
        assert tokens.size / (time.perf_counter() - began) > 300_000
