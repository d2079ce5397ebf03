"""The statistics: by hand, against counting all subsets, and at their ends."""

from __future__ import annotations

from itertools import combinations

import pytest

from thinkling.lm.benchmarks.estimates import pass_at_k, sizes_up_to, vote, wilson


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_pass_at_k_is_the_mean_over_all_subsets_of_k_samples(samples: int) -> None:
    for right in range(samples + 1):
        verdicts = [True] * right + [False] * (samples - right)
        for k in range(1, samples + 1):
            subsets = list(combinations(verdicts, k))
            assert pass_at_k(samples, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_differs_from_the_biased_estimate() -> None:
    """1 - (1 - c/n)^k is too low, as the HumanEval paper says in section 2.1."""
    assert pass_at_k(4, 1, 2) == 0.5 > 1 - (1 - 1 / 4) ** 2
    assert pass_at_k(200, 20, 100) == pytest.approx(1.0, abs=1e-6), "large counts do not overflow"


def test_wilson_agrees_with_published_numbers() -> None:
    """The score interval of Newcombe 1998 (Stat. Med. 17, p. 857), table I, method 3: 81 of 263, 15 of 148, 0 of 20."""
    for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        interval = wilson(right / n, n)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_between_0_and_1_and_holds_its_share() -> None:
    for share in (0.0, 1e-9, 0.3, 1 - 1e-9, 1.0):
        for n in (1, 3, 1000):
            interval = wilson(share, n)
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert wilson(1.0, 5).low == pytest.approx(0.5655, abs=1e-4)


def test_votes() -> None:
    assert vote(["1", "2", "2", None, "3"]) == 1
    assert vote(["3", "1", "1", "3"]) == 0, "of equally frequent ones the first to appear"
    assert vote([None, "7"]) == 1, "samples without an answer do not vote"
    assert vote([None, None]) is None


def test_sizes_are_powers_of_two_and_all_samples() -> None:
    assert [sizes_up_to(n) for n in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]
