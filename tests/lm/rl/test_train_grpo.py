"""Reinforcement learning from start to end: it learns, resumes bit for bit, and refuses what cannot work."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import write_random_run
from small_grpo import constant, rows_of, run, short_recipe, vowel, write_problems, write_start

from thinkling.errors import InputError, TrainingStoppedError
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.rl import objective as objective_module
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.guards import CollapseGuard, Fault, GuardState, Measures
from thinkling.lm.rl.objective import REFERENCE, GrpoObjective, GrpoState
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.rl.rollout_metrics import METRICS
from thinkling.lm.rl.train import objective_of, prepared
from thinkling.lm.run_files import PRETRAINING
from thinkling.tasks.reward import RewardProblem
from thinkling.training.objective import Shard
from thinkling.training.trainer import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random run and problems."""
    return write_start(tmp_path_factory.mktemp("grpo"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def newest(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "last" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def objective(folder: Path, recipe: GrpoRecipe, reward: Any = vowel) -> GrpoObjective:
    ready = prepared(recipe, folder / "start", folder / "data.jsonl", reward=reward)
    made = objective_of(ready, Shard(), folder / "none", "cpu")
    made.model.train()
    return made


def gradients(made: GrpoObjective, state: GrpoState, step: int) -> tuple[GrpoState, dict[str, torch.Tensor]]:
    """The state after a step of one part, and the gradient of its mean loss."""
    state, loss = made.loss(made.model, state, step)
    made.model.zero_grad()
    (loss.total / loss.count.clamp(min=1)).backward()
    return state, {name: p.grad.clone() for name, p in made.model.named_parameters() if p.grad is not None}


def test_it_learns_what_is_rewarded(folder: Path, tmp_path: Path) -> None:
    """After 30 steps of 16 completions nearly all have an a in them; a tenth had before."""
    recipe = short_recipe(30, train={"learning_rate": 1e-2, "validate_every": 10}, kl_beta=0.0)
    result = run(folder, tmp_path / "run", recipe)
    assert result.step == 30
    rows = rows_of(tmp_path / "run")
    before = sum(row["answer_reward"] for row in rows[:3]) / 3
    after = sum(row["answer_reward"] for row in rows[-3:]) / 3
    assert 0 < before < 0.4
    assert after > 0.9
    assert result.metrics["sampled_accuracy"] > 0.8
    assert [row["step"] for row in rows_of(tmp_path / "run", "validation")] == [10, 20, 30]


def test_every_step_is_told_of(folder: Path, tmp_path: Path) -> None:
    """All metrics in each row, and sampler and trainer agree on probabilities within 1e-3."""
    run(folder, tmp_path / "run", short_recipe(3, dynamic_sampling=True))
    expected = {*METRICS, "ratio", "clipped_low", "clipped_high", "kl", "entropy", "loss", "grad_norm"}
    for row in rows_of(tmp_path / "run"):
        assert expected <= set(row)
        assert 0 < row["logprob_difference_max"] < 1e-3
        assert row["logprob_difference"] <= row["logprob_difference_max"]
        assert row["ratio"] == 1.0
        assert row["entropy"] > 0
    assert rows_of(tmp_path / "run")[0]["kl"] == 0.0
    assert rows_of(tmp_path / "run")[2]["kl"] > 0.0


def test_constant_reward_leaves_the_weights_bit_equal(folder: Path, tmp_path: Path) -> None:
    for name, dynamic in (("kept", False), ("dropped", True)):
        run(folder, tmp_path / name, short_recipe(3, dynamic_sampling=dynamic), reward=constant)
        assert same(weights(tmp_path / name), weights(folder / "start")), name
        row = rows_of(tmp_path / name)[0]
        assert row["groups_without_signal"] == row["wasted_groups"] == 1.0
        assert row["refills"] == (4.0 if dynamic else 0.0)
        assert row["grad_norm"] == 0.0


def test_without_divergence_there_is_no_reference(folder: Path, tmp_path: Path) -> None:
    assert objective(folder, short_recipe(kl_beta=0.0)).reference is None
    run(folder, tmp_path / "run", short_recipe(2, kl_beta=0.0))
    assert not (tmp_path / "run" / REFERENCE).exists()
    assert "kl" not in rows_of(tmp_path / "run")[0]


def test_a_rollout_is_used_mu_times(folder: Path) -> None:
    """Three updates with the same completions: the first defines the old log-probabilities, the others depart."""
    made = objective(folder, short_recipe(updates_per_rollout=3))
    optimiser = torch.optim.SGD(made.model.parameters(), lr=0.5)
    state, kept, ratios = made.fresh_state(), [], []
    for step in range(1, 5):
        state, loss = made.loss(made.model, state, step)
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        optimiser.step()
        kept.append(state.rollout)
        total, count = loss.metrics["ratio"]
        ratios.append(float(total / count))
        assert float(loss.metrics["reward"][1]) == (16.0 if step in (1, 4) else 0.0)
    assert torch.equal(kept[0].tokens, kept[2].tokens)
    assert torch.equal(kept[0].old, kept[2].old)
    assert kept[3].is_number(2)
    assert ratios[0] == ratios[3] == 1.0
    assert ratios[1] != 1.0 != ratios[2]


def test_parts_of_a_step_have_the_gradient_of_the_whole(folder: Path) -> None:
    """A rollout in three parts, of unequal sizes since 16 completions are no multiple, as one: the same sums."""
    for aggregation in ("token", "sequence", "constant"):
        whole = objective(folder, short_recipe(loss_aggregation=aggregation))
        _, expected = gradients(whole, whole.fresh_state(), 1)
        parts = objective(folder, short_recipe(train={"accumulation": 3}, loss_aggregation=aggregation))
        state, count = parts.fresh_state(), 0.0
        for step in (1, 2, 3):
            state, loss = parts.loss(parts.model, state, step)
            loss.total.backward()
            count += float(loss.count)
        assert state.rollout.known.all()
        for name, parameter in parts.model.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad / count, expected[name], rtol=1e-4, atol=1e-7)
        state, _ = parts.loss(parts.model, state, 4)
        assert state.rollout.is_number(2)


def test_dropped_groups_do_not_count(folder: Path) -> None:
    """With dynamic sampling and no replacement, what is left over is the loss of the groups with a signal alone."""
    made = objective(folder, short_recipe(dynamic_sampling=True, max_resamples=0, group_size=2))
    state, loss = made.loss(made.model, made.fresh_state(), 1)
    rollout = state.rollout
    assert 0 < int(rollout.learned.sum()) < 8
    assert int(loss.count) == int(rollout.chosen[rollout.learned].sum())


# -------------------------------------------------------------------------------------------------- stop and resume


@pytest.mark.parametrize("accumulation", [1, 2])
def test_interrupted_in_the_middle_of_a_rollout_and_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulation: int
) -> None:
    """Three updates a rollout; stopped after the 5th of 9 steps, resumed without the first run: the same bits."""
    recipe = short_recipe(
        9,
        train={"checkpoint_every": 5, "accumulation": accumulation, "learning_rate": 1e-3},
        updates_per_rollout=3,
        dynamic_sampling=True,
    )
    run(folder, tmp_path / "whole", recipe)
    calls = []
    loss = GrpoObjective.loss

    def breaking(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 6 * accumulation:
            raise KeyboardInterrupt
        return loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(objective_module.GrpoObjective, "loss", breaking)
        with pytest.raises(KeyboardInterrupt):
            run(folder, tmp_path / "broken", recipe)
    with pytest.raises(InputError, match="already holds a run"):
        run(folder, tmp_path / "broken", recipe)
    drawn = []
    collect = objective_module.collect

    def counted(*args: Any, **named: Any) -> Any:
        drawn.append(named["step"])
        return collect(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(objective_module, "collect", counted)
        result = run(folder, tmp_path / "broken", recipe, init=None, resume=True)
    assert result.step == 9
    assert drawn == [3], "the second rollout was saved and is not drawn again"
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    assert same(newest(tmp_path / "whole"), newest(tmp_path / "broken"))
    names = ("loss", "kl", "entropy", "ratio", "reward")
    told = [
        [[row.get(name) for name in names] for row in rows_of(tmp_path / each)]
        for each in ("whole", "broken")
    ]
    assert told[0] == told[1]


def test_what_is_not_the_same_run_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", short_recipe(1))
    with pytest.raises(InputError, match=r"objective\.grpo\.kl_beta"):
        run(folder, tmp_path / "run", short_recipe(2, kl_beta=0.5), resume=True)
    with pytest.raises(InputError, match=r"objective\.reward"):
        run(folder, tmp_path / "run", short_recipe(2), reward=constant, resume=True)
    write_random_run(tmp_path / "other", max_length=64)
    model = LanguageModel.from_folder(tmp_path / "other", device="cpu")
    with torch.no_grad():
        model.network.model.norm.weight += 1
    model.save_pretrained(tmp_path / "moved")
    with pytest.raises(InputError, match="init_sha256"):
        run(folder, tmp_path / "run", short_recipe(2), init=tmp_path / "moved", resume=True)
    (tmp_path / "run" / REFERENCE).unlink()
    with pytest.raises(InputError, match=REFERENCE):
        run(folder, tmp_path / "run", short_recipe(2), init=None, resume=True)


def test_a_poisoned_step_draws_anew(folder: Path) -> None:
    """After a step that was not taken the rollout is given up, and what the guard remembers is kept."""
    made = objective(folder, short_recipe(updates_per_rollout=2))
    state, _ = made.loss(made.model, made.fresh_state(), 1)
    again = made.restarted_state(state)
    assert again.guard is state.guard
    assert not again.measured.any()
    state, loss = made.loss(made.model, again, 2)
    assert state.rollout.is_number(1)
    assert float(loss.metrics["reward"][1]) == 16.0


def test_state_is_saved_as_rows_of_the_same_width(folder: Path) -> None:
    made = objective(folder, short_recipe())
    state, _ = made.loss(made.model, made.fresh_state(), 1)
    tensors = made.state_tensors(state)
    assert all(len(tensor) == 16 for tensor in tensors.values())
    assert tensors["rollout.tokens"].shape[1] == made.longest
    assert same(tensors, made.state_tensors(made.restore_state(tensors)))
    halves = [
        made.restore_state({n: t[part] for n, t in tensors.items()}) for part in (slice(8), slice(8, 16))
    ]
    torch.testing.assert_close(halves[0].measured + halves[1].measured, state.measured)


# ------------------------------------------------------------------------------------------------------- the guard


class Alarm(CollapseGuard):
    """Finds fault with the second rollout, and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Measures] = []

    def judge(self, state: GuardState, measured: Measures) -> tuple[GuardState, Fault | None]:
        self.told.append(measured)
        fault = Fault(name="length", text="it says nothing", advice="try again")
        return state, fault if len(self.told) == 2 else None


def test_the_guard_hears_of_every_rollout_and_ends_training(folder: Path, tmp_path: Path) -> None:
    recipe = replace(short_recipe(8, updates_per_rollout=2), guard="stop")
    made = objective(folder, recipe)
    made.guard = alarm = Alarm()
    with pytest.raises(TrainingStoppedError, match="step 5: it says nothing"):
        train(made, recipe.train, tmp_path / "run", quiet=True)
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 4
    for told, row in zip(alarm.told, rows[::2], strict=True):
        assert told.reward == pytest.approx(row["answer_reward"])
        assert told.entropy == pytest.approx(row["entropy"], rel=1e-5)
        assert told.length == row["length"]
        assert (told.truncated, told.repeated) == (row["truncated"], row["repeated"])


def test_the_guard_takes_the_best_weights_back(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The third rollout is drawn with the weights of the best validation, and training goes on."""
    recipe = replace(short_recipe(4, train={"validate_every": 1, "learning_rate": 1e-2}), guard="rollback")
    ready = prepared(recipe, folder / "start", folder / "data.jsonl", reward=vowel)
    made = objective_of(ready, Shard(), tmp_path / "run", "cpu")
    made.guard = Alarm()
    assert train(made, recipe.train, tmp_path / "run", quiet=True).step == 4
    assert "step 3: it says nothing; weights rolled back" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- bad input


def raising(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
    raise RuntimeError("out of order")


def nan(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
    return float("nan")


@pytest.mark.parametrize(("reward", "named"), [(raising, "out of order"), (nan, "nan")])
def test_a_reward_that_cannot_work(folder: Path, tmp_path: Path, reward: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        run(folder, tmp_path / "run", short_recipe(), reward=reward)
    assert not (tmp_path / "run").exists()


def test_a_reward_that_fails_later_does_not_end_the_run(folder: Path, tmp_path: Path) -> None:
    calls = []

    def sometimes(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
        calls.append(1)
        if len(calls) > 20 and len(calls) % 3 == 0:
            raise RuntimeError("out of order")
        return float("a" in text)

    assert run(folder, tmp_path / "run", short_recipe(2), reward=sometimes).step == 2
    assert rows_of(tmp_path / "run")[1]["reward_failures"] > 0


def test_a_group_of_one() -> None:
    with pytest.raises(InputError, match="group_size = 1"):
        GrpoConfig(group_size=1)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"problem": "What is 1?"}], "data.jsonl line 1"),
        ([{"problem": "What is 1?", "answer": ""}], "answer is empty"),
        ([{"problem": "7" * 80, "answer": "7"}], r"data.jsonl line 1: a prompt of \d+ tokens"),
        ([{"problem": "What is 1?", "answer": "1"}], "1 problems for training and 0 for validation"),
        ([{"problem": "What is 1?", "answer": "1", "tests": 3}], "tests is 3"),
        ([{"messages": [{"role": "assistant", "content": "1"}]}], "question and its answer"),
    ],
)
def test_problems_that_cannot_be_used(
    folder: Path, tmp_path: Path, rows: list[dict[str, Any]], named: str
) -> None:
    data = write_problems(tmp_path / "data.jsonl", rows)
    with pytest.raises(InputError, match=named):
        run(folder, tmp_path / "run", short_recipe(), data=data)
    assert not (tmp_path / "run").exists()


def test_runs_that_are_no_start(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init RUN"):
        run(folder, tmp_path / "run", short_recipe(), init=None)
    write_random_run(tmp_path / "base", PRETRAINING)
    with pytest.raises(InputError, match="thinkling train lm-sft"):
        run(folder, tmp_path / "run", short_recipe(), init=tmp_path / "base")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("slots", 0),
        ("validation_problems", 0),
        ("validation_samples", 0),
        ("validation_share", 0.0),
        ("validation_share", 1.0),
    ],
)
def test_settings_that_cannot_work(setting: str, value: float) -> None:
    with pytest.raises(InputError, match=setting):
        replace(GrpoRecipe(), **{setting: value})


def test_more_parts_than_completions() -> None:
    recipe = GrpoRecipe()
    with pytest.raises(InputError, match="accumulation 129 of 128 completions"):
        replace(recipe, train=replace(recipe.train, accumulation=129))


def test_an_engine_gives_up_what_was_in_work(folder: Path) -> None:
    """An exception in the middle of a rollout leaves requests behind: the next rollout does not hear of them."""
    made = objective(folder, short_recipe())
    engine: PolicyEngine = made.engine
    prompt = made.prompts.prompt(1, 0, 0, of=4)
    engine.ask(0, prompt, 1, made.config)
    engine.finished()
    engine.refresh()
    assert not engine.busy
    state, _ = made.loss(made.model, made.fresh_state(), 1)
    assert state.rollout.is_number(1)
