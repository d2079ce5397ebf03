"""The halt probability against what came true."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from thinkling.puzzles.calibration import calibrate, rank_correlation, reliability_picture


def test_expected_calibration_error() -> None:
    """Two bins: 0.95 said and half right, 0.15 said and none right."""
    found = calibrate([0.95] * 4 + [0.15] * 6, [True, False] * 2 + [False] * 6, [1] * 10)
    assert found.expected_error == pytest.approx(0.4 * 0.45 + 0.6 * 0.15)
    assert found.counts == (0, 6, 0, 0, 0, 0, 0, 0, 0, 4)
    assert found.right[9] == 0.5
    assert found.right[0] is None
    assert found.probability[1] == pytest.approx(0.15)
    assert found.rating_and_halt is None
    written = found.as_json()
    assert written["bins"][9] == {
        "from": 0.9,
        "to": 1.0,
        "n": 4,
        "probability": pytest.approx(0.95),
        "right": 0.5,
    }


def test_a_perfect_model_and_none_at_all() -> None:
    assert calibrate([1.0, 1.0, 0.0], [True, True, False], [1, 1, 1]).expected_error == 0
    empty = calibrate([], [], [])
    assert (empty.n, empty.expected_error) == (0, 0)
    assert empty.right == (None,) * 10


def test_a_probability_that_tells_the_truth_has_a_small_error() -> None:
    random = np.random.default_rng(4)
    said = random.random(20_000)
    true = random.random(20_000) < said
    assert calibrate(said.tolist(), true.tolist(), [1] * 20_000).expected_error < 0.02
    assert calibrate(said.tolist(), (~true).tolist(), [1] * 20_000).expected_error > 0.3


def test_rank_correlation() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 300, 4000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 1 - 6 (0 + 1 + 1 + 0) / (4 * 15)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    # Ties share their mean rank: [1.5, 1.5, 3] against [1, 2, 3].
    assert rank_correlation([0, 0, 5], [1, 2, 3]) == pytest.approx(np.sqrt(3) / 2)
    assert rank_correlation([7, 7, 7], [1, 2, 3]) is None
    assert rank_correlation([], []) is None


def test_ratings_are_correlated_with_halting_and_steps() -> None:
    found = calibrate([0.9, 0.6, 0.3], [True, True, False], [1, 4, 9], ratings=[0, 5, 50])
    assert found.rating_and_halt == pytest.approx(-1)
    assert found.rating_and_steps == pytest.approx(1)


def test_the_picture_has_a_bar_for_each_bin_with_answers() -> None:
    found = calibrate([0.95] * 4 + [0.15] * 6, [True, False] * 2 + [False] * 6, [1] * 10)
    picture = ElementTree.fromstring(reliability_picture(found))
    bars = [element for element in picture.iter() if element.get("class") == "bar"]
    assert [float(bar.get("height", "nan")) for bar in bars] == [0, 150]
    assert "expected calibration error 0.270" in "".join(picture.itertext())
