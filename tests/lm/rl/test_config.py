"""Settings that cannot work are refused before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from thinkling.errors import InputError
from thinkling.lm.rl.config import GrpoConfig


def test_defaults_are_those_of_the_papers():
    config = GrpoConfig()
    assert (config.group_size, config.clip_low, config.clip_high) == (8, 0.2, 0.28)
    assert (config.kl_beta, config.format_weight, config.updates_per_rollout) == (0.01, 0.1, 1)
    assert (config.loss_aggregation, config.scale_advantages, config.dynamic_sampling) == (
        "token",
        False,
        True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group_size", 1),
        ("group_size", 0),
        ("prompts_per_step", 0),
        ("updates_per_rollout", 0),
        ("clip_low", 0.0),
        ("clip_low", 1.5),
        ("clip_high", 0.0),
        ("clip_high", math.nan),
        ("loss_aggregation", "tokens"),
        ("max_resamples", -1),
        ("overlong_buffer", -1),
        ("overlong_buffer", 257),
        ("overlong_penalty", -1.0),
        ("kl_beta", -0.1),
        ("kl_beta", math.inf),
        ("temperature", 0.0),
        ("temperature", math.nan),
        ("max_tokens", 0),
        ("think_budget", -1),
        ("format_weight", -0.1),
        ("format_weight", 1.0),
    ],
)
def test_out_of_range(name: str, value: Any):
    with pytest.raises(InputError) as refused:
        GrpoConfig(**{name: value})
    said = str(refused.value)
    assert f"{name} = {value}" in said
    assert f"set {name}" in said


def test_a_group_of_one_is_told_why():
    with pytest.raises(InputError, match="judged against the others of its group"):
        GrpoConfig(group_size=1)


def test_each_setting_at_its_bounds():
    GrpoConfig(
        group_size=2,
        prompts_per_step=1,
        clip_low=1.0,
        max_resamples=0,
        overlong_buffer=256,
        overlong_penalty=0.0,
        kl_beta=0.0,
        think_budget=0,
        format_weight=0.0,
    )


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GrpoConfig().group_size = 4  # type: ignore[misc]  # that it is refused is what is tested
