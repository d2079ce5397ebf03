"""MinHash: the estimate is the similarity, and the bands miss few pairs."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up_corpus import changed, jaccard, prose

from thinkling.lm.corpus_steps import words
from thinkling.lm.near_duplicates import HASHES, minhash


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8, 0.95])
def test_a_pair_at_the_threshold_is_hardly_ever_missed(threshold: float) -> None:
    chosen = minhash(ngram=3, jaccard=threshold, seed=1)
    assert chosen.bands * chosen.hashes <= HASHES
    assert chosen.candidate(threshold) >= 0.99
    assert chosen.candidate(threshold / 2) < chosen.candidate(threshold)


def test_the_decision_is_sharp() -> None:
    chosen = minhash(ngram=3, jaccard=0.8, seed=1)
    assert chosen.found(0.7) < 0.01
    assert chosen.found(0.8) == pytest.approx(0.5, abs=0.05)
    assert chosen.found(0.87) > 0.99


@pytest.mark.parametrize("share", [0.01, 0.04, 0.1])
def test_equal_hashes_estimate_the_similarity(share: float) -> None:
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    rng = random.Random(1)
    chosen = minhash(ngram=3, jaccard=0.8, seed=1)
    block = MinhashDedupSignature(output_folder="unused", config=chosen.config(), language=words())
    estimates, similarities = [], []
    for _ in range(10):
        text = prose(rng)
        other = changed(text, rng, share)
        first, second = (np.array(block.get_signature(block.get_shingles(one))) for one in (text, other))
        estimates.append((first == second).mean())
        similarities.append(jaccard(text, other))
    assert np.mean(estimates) == pytest.approx(np.mean(similarities), abs=0.03)


def test_words_are_told_apart_without_more_packages() -> None:
    assert words().word_tokenize("It’s 3.5 km — isn't it?") == [
        "It’s",
        "3",
        ".",
        "5",
        "km",
        "—",
        "isn't",
        "it",
        "?",
    ]
    assert words().sent_tokenize("One. Two! Three") == ["One.", " Two!", " Three"]
