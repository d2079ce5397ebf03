"""The choices of a recipe beside the papers' training: noise, several carries, depth, Muon.

Off, they leave no trace; on, a run resumes bit for bit and does not depend on the number of ranks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from choices_run import CHOICES, recipe_with
from safetensors.torch import load_file

from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset
from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError
from thinkling.puzzles.cost import cost
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.train import description, fitted, objective_of, train_recipe
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.thinking.cycles import Cycles, DepthCurriculum
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.perturbation import CarryNoise
from thinkling.training.objective import Shard

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
EACH = [pytest.param(name, marks=needs_muon if name in ("muon", "all") else ()) for name in CHOICES]


class Interrupted(Exception):
    """What a test throws into a training run."""


def interrupted_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PuzzleObjective.loss

    def loss(self: PuzzleObjective, forward: Callable[..., Any], state: Any, at: int) -> Any:
        if at == step:
            raise Interrupted
        return whole(self, forward, state, at)

    monkeypatch.setattr(PuzzleObjective, "loss", loss)


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    """Weights, averages, moments and slots of the last checkpoint."""
    folder = run / "checkpoints" / "last"
    return {
        f"{name}/{key}": tensor
        for name in ("model", "ema", "optimizer", "slots")
        for key, tensor in load_file(folder / f"{name}.safetensors").items()
    }


@pytest.mark.parametrize("choice", EACH)
def test_interrupted_and_resumed_equals_uninterrupted(
    choice: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_with(choice)
    train_recipe(recipe, data, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as broken:
        interrupted_before(13, broken)
        with pytest.raises(Interrupted):
            train_recipe(recipe, data, tmp_path / "broken", quiet=True)
    train_recipe(recipe, data, tmp_path / "broken", resume=True, quiet=True)
    whole, resumed = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "broken")
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


@pytest.mark.parametrize("choice", EACH)
def test_each_choice_changes_the_training(choice: str, data: Path) -> None:
    dataset = read_dataset(data)
    losses = {}
    for name in ("plain", choice):
        objective = objective_of(fitted(recipe_with(name), dataset), dataset, Shard())
        state = objective.fresh_state()
        for step in (1, 2):
            state, loss = objective.loss(objective.model, state, step)
        losses[name] = float(loss.total.detach())
        assert int(loss.count) == 8
    # Muon changes the update, which these steps have not made.
    assert (losses["plain"] == losses[choice]) is (choice == "muon")


@pytest.mark.parametrize("choice", ["noise", "carries"])
def test_ranks_share_out_the_same_carries(choice: str, data: Path) -> None:
    dataset = read_dataset(data)
    recipe = fitted(recipe_with(choice), dataset)
    states = []
    for shard in (Shard(), Shard(rank=0, world_size=2), Shard(rank=1, world_size=2)):
        objective = objective_of(recipe, dataset, shard)
        state = objective.fresh_state()
        for step in (1, 2, 3):
            state, _ = objective.loss(objective.model, state, step)
        states.append(objective.state_tensors(state))
    for name, tensor in states[0].items():
        joined = torch.cat([states[1][name], states[2][name]])
        torch.testing.assert_close(joined, tensor, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shard", [Shard(), Shard(rank=1, world_size=2)])
def test_every_slot_holds_the_example_of_its_number(shard: Shard, data: Path) -> None:
    """Slot s of the whole batch shows the items s, s + batch size, s + 2 * batch size …, whenever it halts, and goes on
    so from a checkpoint and after a poisoned step."""
    recipe = replace(recipe_with("all"), curriculum=200, halting=HaltingConfig(max_steps=4, exploration=0.5))
    dataset = read_dataset(data)
    made = objective_of(fitted(recipe, dataset), dataset, shard, "cpu")
    torch.nn.init.normal_(made.model.q_head.weight, generator=torch.Generator().manual_seed(1))
    state = made.fresh_state()
    for step in range(1, 16):
        state, _ = made.loss(made.model, state, step)
        items = (state.refills.numpy() - 1) * made.batch_size + made.slots.repeat(made.carries)
        held, due = state.batch, made.train.items(items, made.seed)
        assert held.labels is not None
        assert due.labels is not None
        assert torch.equal(held.inputs, due.inputs)
        assert torch.equal(held.labels, due.labels)
        if step == 6:
            state = made.restore_state(made.state_tensors(state))
        if step == 9:
            state = made.restarted_state(state)
    assert len(set(state.refills.tolist())) > 1, "they have not all halted together"


def test_the_carries_of_a_question_share_its_example_and_differ(data: Path) -> None:
    dataset = read_dataset(data)
    one = objective_of(fitted(recipe_with("plain"), dataset), dataset, Shard())
    three = objective_of(fitted(recipe_with("carries"), dataset), dataset, Shard())
    alone, _ = one.loss(one.model, one.fresh_state(), 1)
    shared, _ = three.loss(three.model, three.fresh_state(), 1)
    assert torch.equal(shared.batch.inputs, alone.batch.inputs.repeat_interleave(3, dim=0))
    states = shared.carry.z_H.view(8, 3, *shared.carry.z_H.shape[1:])
    assert not torch.equal(states[:, 0], states[:, 1])
    for step in range(2, 12):  # some questions are replaced on the way
        shared, _ = three.loss(three.model, shared, step)
        for tensor in (shared.batch.inputs, shared.carry.steps, shared.carry.halted, shared.refills):
            of_question = tensor.view(8, 3, -1)
            assert torch.equal(of_question[:, :1].expand_as(of_question), of_question)
    assert int(shared.refills.min()) > 1
    assert len(three.restarted_state(shared).carry.halted) == 24


def test_unused_choices_leave_no_trace(data: Path) -> None:
    """A run that was begun before there was a choice resumes: its config.json is what it would be today."""
    dataset = read_dataset(data)
    told = description(fitted(recipe_with("plain"), dataset), dataset)
    assert set(told) == {"product", "architecture", "model", "task", "halting", "objective"}
    chosen = description(fitted(recipe_with("all"), dataset), dataset)
    assert set(chosen) - set(told) == {"noise", "carries", "depth"}
    json.dumps(chosen)


def test_resuming_with_another_choice_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = recipe_with("carries", steps=2)
    train_recipe(recipe, data, tmp_path / "run", quiet=True)
    for other, named in (
        (replace(recipe, carries=2), "carries = 2"),
        (replace(recipe, carries=1), "carries = None"),
        (replace(recipe, noise=CarryNoise(initial=0.6)), "noise.initial"),
    ):
        with pytest.raises(InputError, match=named):
            train_recipe(other, data, tmp_path / "run", resume=True, quiet=True)


def test_bad_choices_are_refused() -> None:
    recipe = recipe_with("plain")
    with pytest.raises(InputError, match="carries 0"):
        replace(recipe, carries=0)
    with pytest.raises(InputError, match="4 carries without noise"):
        replace(recipe, carries=4)
    with pytest.raises(InputError, match="first_H_cycles 3"):
        replace(recipe, depth=DepthCurriculum(first_H_cycles=3, stage_steps=5))


@pytest.mark.parametrize(
    "model",
    [
        HRM(HRMConfig(vocab_size=6, seq_len=9, hidden_size=16, num_heads=2, H_cycles=2, L_cycles=3)),
        TRM(TRMConfig(vocab_size=6, seq_len=9, hidden_size=16, num_heads=2)),
    ],
    ids=["hrm", "trm"],
)
def test_a_segment_of_fewer_cycles_is_that_of_a_shallower_model(model: HRM | TRM) -> None:
    shallow = type(model)(replace(model.config, H_cycles=1, L_cycles=2))  # type: ignore[arg-type]  # its own config
    shallow.load_state_dict(model.state_dict())
    batch = PuzzleBatch(inputs=torch.arange(18).view(2, 9) % 6, puzzle_ids=torch.zeros(2, dtype=torch.int64))
    carry, asked = model.segment(model.fresh_carry(2), batch, cycles=Cycles(H=1, L=2))
    expected_carry, expected = shallow.segment(shallow.fresh_carry(2), batch)
    assert torch.equal(asked.logits, expected.logits)
    assert torch.equal(carry.z_L, expected_carry.z_L)
    assert not torch.equal(asked.logits, model.segment(model.fresh_carry(2), batch)[1].logits)


def test_a_started_carry_is_what_a_reset_gives() -> None:
    model = HRM(HRMConfig(vocab_size=6, seq_len=9, hidden_size=16, num_heads=2))
    batch = PuzzleBatch(
        inputs=torch.ones(3, 9, dtype=torch.int64), puzzle_ids=torch.zeros(3, dtype=torch.int64)
    )
    started = model.started_carry(3)
    assert not started.halted.any()
    assert torch.equal(
        model.segment(started, batch)[1].logits, model.segment(model.fresh_carry(3), batch)[1].logits
    )
    started.z_H.add_(1)  # its own memory, not the buffer's
    assert torch.equal(model.started_carry(1).z_H[0, 0], model.H_init)


def test_several_carries_cost_a_forward_pass_each() -> None:
    model = HRM(HRMConfig(vocab_size=6, seq_len=9, hidden_size=16, num_heads=2))
    plain = cost(model, "halt_only", 4)
    assert (
        cost(model, "halt_only", 4, carries=3).training_flops
        == plain.training_flops + 3 * plain.forward_flops
    )
    assert cost(model, "halt_only", 4, cycles=Cycles(H=1, L=1)).training_flops < plain.training_flops


def test_the_choices_are_flags_and_their_cost_is_foretold(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def foretold(*flags: str) -> dict[str, Any]:
        words = [
            "train",
            "sudoku-4x4",
            "--data",
            str(data),
            "--out",
            str(tmp_path / "r"),
            "--dry-run",
            "--json",
        ]
        assert main([*words, "--model.H-cycles", "2", *flags]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    plain = foretold()
    carries = foretold("--carries", "4", "--noise.initial", "1.0", "--noise.path", "0.01")
    assert carries["config"]["carries"] == 4
    assert carries["config"]["noise"] == {"initial": 1.0, "path": 0.01}
    assert carries["flops"] > 2 * plain["flops"]
    depth = foretold(
        "--depth.first-H-cycles", "1", "--depth.first-L-cycles", "1", "--depth.stage-steps", "180"
    )  # fmt: skip
    assert 0.5 * plain["flops"] < depth["flops"] < plain["flops"]
    assert (
        main(["train", "sudoku-4x4", "--data", str(data), "--out", str(tmp_path / "r"), "--carries", "4"])
        == 2
    )
    assert "noise.initial" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["carries", "depth"])
def test_two_processes_equal_one(choice: str, data: Path, tmp_path: Path) -> None:
    """DDP over gloo: passes without gradient before the one with it, and another number of cycles."""
    script, one, two = str(Path(__file__).with_name("choices_run.py")), tmp_path / "one", tmp_path / "two"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for words, run in (([], one), (torchrun, two)):
        done = subprocess.run(
            [sys.executable, *words, script, str(data), str(run), choice],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    ours, theirs = tensors_of(one), tensors_of(two)
    for name in (name for name in ours if name.startswith("model/")):
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-4, atol=1e-4)
    for name in ("slots/inputs", "slots/steps", "slots/refills"):
        assert torch.equal(ours[name], theirs[name])
