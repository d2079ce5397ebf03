"""Noise on the carry in training: how much, where, and a function of (seed, step, row) only.

Shapes: R rows, S positions, D width.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from thinkling.errors import InputError
from thinkling.thinking import perturbation
from thinkling.thinking.carry import Carry
from thinkling.thinking.perturbation import CarryNoise, perturbed

S, D = 20, 50
ROWS = 8
"""Of the whole batch."""


@pytest.fixture(params=["row by row", "one draw"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU, and as on a GPU."""
    if request.param == "one draw":
        monkeypatch.setattr(perturbation, "_ROW_BY_ROW", ())


def carry_of(
    value: float, halted: list[bool], *, steps: int = 3, dtype: torch.dtype = torch.float32
) -> Carry:
    state = torch.full((len(halted), S, D), value, dtype=dtype)
    return Carry(z_H=state, z_L=-state, steps=torch.full((len(halted),), steps), halted=torch.tensor(halted))


def noisy(
    noise: CarryNoise, halted: list[bool], *, rows: list[int] | None = None, seed: int = 0, step: int = 1
) -> Carry:
    """Carries of 5 whose reset gives 1."""
    numbers = np.array(rows or range(len(halted)), dtype=np.int64)
    started = carry_of(1.0, [False] * len(halted), steps=0)
    return perturbed(carry_of(5.0, halted), started, noise, seed=seed, step=step, rows=numbers, of=ROWS)


def test_halted_rows_start_anew_with_noise_and_the_others_have_their_own() -> None:
    after = noisy(CarryNoise(initial=0.5, path=0.01), [True, False, True])
    for state, sign in ((after.z_H, 1), (after.z_L, -1)):
        for row, (mean, deviation) in enumerate([(1, 0.5), (5, 0.01), (1, 0.5)]):
            # 1,000 values: the mean is within 4 standard errors, the deviation within 10 %.
            assert float(state[row].mean()) == pytest.approx(
                sign * mean, abs=4 * deviation / math.sqrt(S * D)
            )
            assert float(state[row].std()) == pytest.approx(deviation, rel=0.1)
    assert after.steps.tolist() == [0, 3, 0]
    assert not after.halted.any()
    drawn = torch.stack([after.z_H[0] - 1, after.z_L[0] + 1, after.z_H[2] - 1, after.z_L[2] + 1])
    assert float((torch.corrcoef(drawn.flatten(1)) - torch.eye(4)).abs().max()) < 0.15


def test_only_what_is_asked_for_is_perturbed() -> None:
    start = noisy(CarryNoise(initial=1.0), [True, False])
    assert torch.equal(start.z_H[1], torch.full((S, D), 5.0))
    assert not torch.equal(start.z_H[0], torch.ones(S, D))
    path = noisy(CarryNoise(path=1.0), [True, False])
    assert torch.equal(path.z_L[0], -torch.ones(S, D))
    assert not torch.equal(path.z_L[1], -torch.full((S, D), 5.0))


def test_the_numbers_depend_on_seed_step_and_row_only() -> None:
    """So a resumed run and any number of ranks draw the same."""
    noise = CarryNoise(initial=1.0, path=0.5)
    together = noisy(noise, [True, False, True, False])
    parts = [noisy(noise, [True, False], rows=[0, 1]), noisy(noise, [True, False], rows=[2, 3])]
    assert torch.equal(together.z_H, torch.cat([part.z_H for part in parts]))
    assert torch.equal(together.z_L, torch.cat([part.z_L for part in parts]))
    assert torch.equal(together.z_H, noisy(noise, [True, False, True, False]).z_H)
    for other in ({"seed": 1}, {"step": 2}, {"rows": [4, 5, 6, 7]}):
        changed = noisy(noise, [True, False, True, False], **other)
        assert not any(torch.equal(changed.z_H[row], together.z_H[row]) for row in range(4))


def test_the_carry_is_a_value() -> None:
    before = carry_of(5.0, [True, False], dtype=torch.bfloat16)
    started = carry_of(1.0, [False, False], dtype=torch.bfloat16)
    after = perturbed(before, started, CarryNoise(path=1.0), seed=0, step=1, rows=np.arange(2), of=2)
    assert before.halted.tolist() == [True, False]
    assert torch.equal(before.z_H, torch.full_like(before.z_H, 5.0))
    assert torch.equal(started.z_H, torch.ones_like(started.z_H))
    assert after.z_H.dtype == after.z_L.dtype == torch.bfloat16


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
@pytest.mark.parametrize("name", ["initial", "path"])
def test_bad_noise_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"noise.{name}"):
        CarryNoise(**{name: value})
    assert CarryNoise(**{name: 0.1}).on
    assert not CarryNoise().on
