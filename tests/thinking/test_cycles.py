"""The depth curriculum: which cycles a segment has at which training step."""

from __future__ import annotations

from typing import Any

import pytest

from thinkling.errors import InputError
from thinkling.thinking.cycles import Cycles, DepthCurriculum

TRM = Cycles(H=3, L=6)


def test_the_stages_of_the_paper() -> None:
    """CGAR (arXiv 2511.08653): (L, H) is (2, 1) up to 30 % of the training, (4, 2) up to 60 %, then (6, 3)."""
    curriculum = DepthCurriculum(first_H_cycles=1, first_L_cycles=2, stage_steps=300)
    at = {step: curriculum.cycles_at(step, TRM) for step in (1, 300, 301, 600, 601, 1000, 10**9)}
    assert at[1] == at[300] == Cycles(H=1, L=2)
    assert at[301] == at[600] == Cycles(H=2, L=4)
    assert at[601] == at[1000] == at[10**9] == TRM


def test_without_first_cycles_nothing_changes() -> None:
    curriculum = DepthCurriculum()
    assert not curriculum.on
    assert all(curriculum.cycles_at(step, TRM) == TRM for step in (1, 2, 1000))
    assert curriculum.steps_of_stages(70, TRM) == [(TRM, 70)]


def test_one_of_the_two_recurrences_alone_may_grow() -> None:
    curriculum = DepthCurriculum(first_L_cycles=1, stages=2, stage_steps=10)
    assert curriculum.cycles_at(10, TRM) == Cycles(H=3, L=1)
    assert curriculum.cycles_at(11, TRM) == TRM


@pytest.mark.parametrize("stages", [2, 3, 5, 9])
@pytest.mark.parametrize("steps", [1, 25, 100])
def test_stages_grow_and_cover_the_training(stages: int, steps: int) -> None:
    curriculum = DepthCurriculum(first_H_cycles=1, first_L_cycles=1, stages=stages, stage_steps=10)
    told = curriculum.steps_of_stages(steps, TRM)
    assert len(told) == stages
    assert sum(length for _, length in told) == steps
    made = [curriculum.cycles_at(step, TRM) for step in range(1, steps + 1)]
    assert made == [cycles for cycles, length in told for _ in range(length)]
    low = [cycles.L for cycles, _ in told]
    assert low == sorted(low)
    assert (told[0][0], told[-1][0]) == (Cycles(H=1, L=1), TRM)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"first_H_cycles": -1}, "depth.first_H_cycles"),
        ({"first_L_cycles": 1, "stage_steps": -5}, "depth.stage_steps"),
        ({"stages": 1}, "depth.stages"),
        ({"first_L_cycles": 1}, "stage_steps 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        DepthCurriculum(**settings)


def test_a_start_deeper_than_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="first_L_cycles 7"):
        DepthCurriculum(first_L_cycles=7, stage_steps=1).check_fits(TRM)
    DepthCurriculum(first_L_cycles=6, first_H_cycles=3, stage_steps=1).check_fits(TRM)
