"""The path of the carry in two dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from thinkling.thinking.trajectory import project


def test_a_path_in_a_plane_keeps_its_distances() -> None:
    random = np.random.default_rng(1)
    flat = random.normal(size=(7, 2)) * [3, 1]
    plane = np.linalg.qr(random.normal(size=(500, 2)))[0]
    states = (flat @ plane.T + random.normal(size=500)).reshape(7, 20, 25)
    points = project(states)
    assert points.shape == (7, 2)

    def distances(path: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(path[:, None] - path[None], axis=-1))

    np.testing.assert_allclose(distances(points), distances(flat), atol=1e-9)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-9)
    assert points[:, 0].var() >= points[:, 1].var()


def test_the_sign_is_fixed() -> None:
    states = np.random.default_rng(2).normal(size=(5, 30))
    points = project(states)
    assert (points[np.abs(points).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_paths(count: int) -> None:
    points = project(np.random.default_rng(3).normal(size=(count, 4, 3)).astype(np.float16))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    if count == 2:
        assert points[0, 0] == pytest.approx(-points[1, 0])
        assert (points[:, 1] == 0).all()


def test_a_state_that_never_moves_stays_at_the_origin() -> None:
    assert (project(np.ones((4, 9))) == 0).all()
