"""Guards: what counts as a collapse, what does not, and what follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from thinkling.artifacts.checkpoint import Checkpoint, save_checkpoint
from thinkling.errors import InputError, TrainingStoppedError
from thinkling.lm.rl.guards import CollapseGuard, Fault, GuardLimits, GuardState, Measures, repeated_text

START = Measures(reward=0.4, entropy=0.5, length=60.0, truncated=0.05, repeated=0.0, format_only=0.5)
LIMITS = GuardLimits(baseline_steps=2, window=3)


def after(*steps: Measures, limits: GuardLimits = LIMITS) -> tuple[GuardState, Fault | None]:
    """The first steps, then some more; the first fault."""
    guard, state = CollapseGuard(limits), GuardState()
    for step in (*[START] * limits.baseline_steps, *steps):
        state, fault = guard.judge(state, step)
        if fault is not None:
            return state, fault
    return state, None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"entropy": 0.04}, "entropy"),
        ({"entropy": 0.04, "reward": 0.44}, "entropy"),
        ({"length": 15.0}, "length"),
        ({"length": 0.0}, "length"),
        ({"truncated": 0.55}, "truncated"),
        ({"repeated": 0.25}, "repeated"),
        ({"format_only": 0.75, "reward": 0.15}, "format_only"),
        ({"truncated": 0.9, "reward": 0.9}, "truncated"),
    ],
)
def test_each_collapse_is_noticed(changes: dict[str, float], name: str) -> None:
    _, fault = after(*[replace(START, **changes)] * 3)
    assert fault is not None
    assert fault.name == name
    assert fault.advice
    assert "mean of 3 steps" in fault.text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"entropy": 0.06},
        {"entropy": 0.01, "reward": 0.7},
        {"length": 15.0, "reward": 0.6},
        {"truncated": 0.45},
        {"repeated": 0.15},
        {"format_only": 0.65, "reward": 0.3},
    ],
)
def test_what_learning_looks_like_is_no_collapse(changes: dict[str, float]) -> None:
    assert after(*[replace(START, **changes)] * 5)[1] is None


def test_a_good_model_may_be_sure_of_itself() -> None:
    """A model that is nearly always right cannot be rewarded more; entropy near 0 is then no fault."""
    limits = replace(LIMITS, baseline_steps=1)
    guard = CollapseGuard(limits)
    state, _ = guard.judge(GuardState(), replace(START, reward=0.97))
    for _ in range(5):
        state, fault = guard.judge(state, replace(START, reward=0.98, entropy=0.001))
        assert fault is None


def test_reward_that_is_lost_again_is_a_collapse() -> None:
    """First the reward rises and the entropy falls, which is fine; then the reward falls while the entropy stays."""
    risen = replace(START, reward=0.8, entropy=0.02)
    state, fault = after(*[risen] * 4)
    assert fault is None
    assert state.best_reward == pytest.approx(0.8)
    _, fault = after(*[risen] * 4, *[replace(risen, reward=0.6)] * 3)
    assert fault is not None
    assert fault.name == "entropy"


def test_one_bad_step_is_no_collapse() -> None:
    bad = replace(START, repeated=0.5)
    assert after(bad, START, START, bad, START, START)[1] is None
    assert after(bad, bad)[1] is None, "not before a whole window"


def test_shares_are_compared_with_those_of_the_first_steps() -> None:
    """A model that is cut off often from the start is judged by what it was, up to nearly all; 1 is never exceeded."""
    guard = CollapseGuard(replace(LIMITS, baseline_steps=1, window=1))
    often = replace(START, truncated=0.6)
    state, _ = guard.judge(GuardState(), often)
    assert guard.judge(state, replace(often, truncated=0.75))[1] is None
    assert guard.judge(state, replace(often, truncated=0.85))[1] is not None
    never = CollapseGuard(replace(LIMITS, baseline_steps=1, window=1, truncated=1.0))
    assert never.judge(state, replace(often, truncated=1.0))[1] is None
    state, _ = guard.judge(GuardState(), replace(often, truncated=0.95))
    assert guard.judge(state, replace(often, truncated=0.99))[1] is not None


def test_steps_that_are_not_finite_are_left_to_the_trainer() -> None:
    guard, state = CollapseGuard(LIMITS), GuardState()
    assert guard.judge(state, replace(START, entropy=float("nan"))) == (state, None)


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 9])
def test_the_state_survives_saving(steps: int) -> None:
    """A restored guard says what the one that was never saved says; its tensor always has the same size."""
    guard, state = CollapseGuard(LIMITS), GuardState()
    history = [replace(START, reward=0.4 + 0.01 * step, length=60.0 - step) for step in range(steps)]
    for one in history:
        state, _ = guard.judge(state, one)
    saved = guard.state_tensor(state)
    assert saved.shape == guard.state_tensor(GuardState()).shape
    restored = CollapseGuard(LIMITS).restored(saved)
    assert restored == state
    for _ in range(4):
        bad = replace(START, length=1.0)
        (state, one), (restored, other) = guard.judge(state, bad), guard.judge(restored, bad)
        assert (state, one) == (restored, other)


def test_a_state_of_other_limits_is_refused() -> None:
    saved = CollapseGuard(LIMITS).state_tensor(GuardState())
    with pytest.raises(InputError, match="window 4"):
        CollapseGuard(replace(LIMITS, window=4)).restored(saved)


FAULT = Fault(name="entropy", text="entropy 0.01 is too low", advice="lower the learning rate")


def small_run(folder: Path) -> nn.Linear:
    """A run with a best checkpoint of ones at step 7."""
    model = nn.Linear(2, 2)
    nn.init.ones_(model.weight)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoint = Checkpoint(config={"product": "lm"}, weights=weights, state={"step": 7})
    save_checkpoint(folder / "checkpoints", "best", checkpoint)
    nn.init.zeros_(model.weight)
    return model


def test_stop_names_the_weights_that_are_good(tmp_path: Path) -> None:
    model, said = small_run(tmp_path), list[str]()
    with pytest.raises(TrainingStoppedError, match=r"step 12: entropy 0\.01") as caught:
        CollapseGuard().act("stop", GuardState(), FAULT, step=12, model=model, run=tmp_path, warn=said.append)
    assert str(tmp_path / "checkpoints" / "best") in str(caught.value)
    assert "lower the learning rate" in str(caught.value)
    assert not said


def test_rollback_restores_the_best_weights_a_few_times(tmp_path: Path) -> None:
    model, said = small_run(tmp_path), list[str]()
    guard = CollapseGuard(GuardLimits(max_rollbacks=1))
    state = GuardState(first=(START,) * 3, recent=(START,) * 8, best_reward=0.6)
    state = guard.act("rollback", state, FAULT, step=12, model=model, run=tmp_path, warn=said.append)
    assert torch.equal(model.weight, torch.ones(2, 2))
    assert (state.recent, state.rollbacks, state.best_reward) == ((), 1, 0.6)
    assert "step 7" in said[0]
    with pytest.raises(TrainingStoppedError, match="after 1 roll-back"):
        guard.act("rollback", state, FAULT, step=30, model=model, run=tmp_path, warn=said.append)


def test_rollback_without_a_checkpoint_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError, match="no validation has kept any weights"):
        CollapseGuard().act(
            "rollback", GuardState(), FAULT, step=3, model=nn.Linear(1, 1), run=tmp_path, warn=print
        )


def test_off_only_warns(tmp_path: Path) -> None:
    said = list[str]()
    state = GuardState(recent=(START,) * 8)
    state = CollapseGuard().act(
        "off", state, FAULT, step=3, model=nn.Linear(1, 1), run=tmp_path, warn=said.append
    )
    assert state.recent == (), "said again after a whole window only"
    assert "step 3" in said[0]


@pytest.mark.parametrize("changes", [{"window": 0}, {"baseline_steps": 0}, {"truncated": 1.5}, {"rise": -1}])
def test_limits_that_cannot_be(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        GuardLimits(**changes)  # type: ignore[arg-type]  # a test's


def rows(*completions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, completions)) + 40
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in completions])
    return tokens, torch.tensor([len(row) for row in completions])


def test_loops_are_found_wherever_they_are() -> None:
    varied = [(7 * number * number + number // 3) % 97 + 1 for number in range(60)]
    found = repeated_text(
        *rows(
            varied,
            varied + [5, 6, 7] * 10,
            [5, 6, 7] * 10 + varied,
            varied + [9] * 24,
            varied + [9] * 23,
            varied[:30] * 4,
            varied[:30] * 3,
            varied[:10] + [1, 2] * 3,
            [4],
            [],
        )
    )
    assert found.tolist() == [False, True, True, True, False, True, False, False, False, False]


def test_padding_is_no_loop_and_no_row_matters_to_another() -> None:
    tokens, lengths = rows([1, 2, 3], [8] * 40)
    assert repeated_text(tokens, lengths).tolist() == [False, True]
    assert repeated_text(tokens[:1, :3], lengths[:1]).tolist() == [False]
    assert repeated_text(tokens.flip(0), lengths.flip(0)).tolist() == [True, False]
