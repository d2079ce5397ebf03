"""Training a puzzle model: resume bit for bit, one process equals two, no example depends on the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_run import short_recipe

from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.examples import Examples, hard_enough, hold_out
from thinkling.puzzles.recipes import RECIPES, recipe_named
from thinkling.puzzles.train import fitted, objective_of, train_recipe
from thinkling.tasks.registry import get_task
from thinkling.training.objective import Shard

SCRIPT = Path(__file__).with_name("small_run.py")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
CHECKPOINT_FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "slots.safetensors")


def start(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(SCRIPT), *map(str, words)], env=ONE_THREAD)


def same_files(one: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            assert torch.equal(tensor, second[key]), f"{name}: {key}"


@pytest.mark.parametrize("optimizer", ["adamw", "adam_atan2"])
def test_killed_and_resumed_equals_uninterrupted(data: Path, tmp_path: Path, optimizer: str) -> None:
    """SIGKILL at a moment that falls anywhere, then --resume: every tensor is the same, bit for bit."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(data, whole, 200, optimizer).wait() == 0
    process = start(data, broken, 200, optimizer)
    state = broken / "checkpoints" / "last" / "train_state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (state.exists() and '"step": 0,' not in state.read_text()):
        time.sleep(0.02)
    time.sleep(0.13)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert start(data, broken, 200, optimizer, "resume").wait() == 0
    same_files(whole / "checkpoints" / "last", broken / "checkpoints" / "last", CHECKPOINT_FILES)
    same_files(whole, broken, ("model.safetensors", "ema.safetensors"))


def test_two_processes_equal_one(data: Path, tmp_path: Path) -> None:
    """DDP over gloo: the same slots take the same examples, and the weights agree to 1e-5."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert start(data, one, 12, "adamw").wait() == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*torchrun, str(SCRIPT), str(data), str(two), "12", "adamw"],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    for name in ("model.safetensors", "ema.safetensors"):
        ours, theirs = (load_file(run / "checkpoints" / "last" / name) for run in (one, two))
        for key, tensor in ours.items():
            torch.testing.assert_close(theirs[key], tensor, rtol=1e-5, atol=1e-5)
    ours, theirs = (load_file(run / "checkpoints" / "last" / "slots.safetensors") for run in (one, two))
    for key in ("inputs", "labels", "puzzle_ids", "steps", "halted", "refills"):
        assert torch.equal(ours[key], theirs[key])
    losses = [
        [
            json.loads(line)["loss"]
            for line in (run / "metrics.jsonl").read_text().splitlines()
            if '"loss"' in line
        ]
        for run in (one, two)
    ]
    assert losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_an_item_does_not_depend_on_the_batch_it_is_in(data: Path) -> None:
    examples = Examples(read_dataset(data).train, get_task({"name": "sudoku", "size": 4}), augment=True)
    together = examples.items(np.arange(300), seed=9)
    for item in (0, 7, 119, 120, 299):
        alone = examples.items(np.array([item]), seed=9)
        assert torch.equal(alone.inputs[0], together.inputs[item])
        assert alone.labels is not None
        assert together.labels is not None
        assert torch.equal(alone.labels[0], together.labels[item])


def test_training_items_are_puzzles_with_their_solution(data: Path) -> None:
    task = get_task({"name": "sudoku", "size": 4})
    batch = Examples(read_dataset(data).train, task, augment=True).items(np.arange(240), seed=1)
    assert batch.labels is not None
    assert task.check_batch(batch.inputs.numpy(), batch.labels.numpy()).all()
    assert len({tuple(row) for row in batch.inputs.tolist()}) > 200


def test_ranks_share_out_the_same_examples(data: Path) -> None:
    dataset = read_dataset(data)
    recipe = fitted(short_recipe(), dataset)
    states = []
    for shard in (Shard(), Shard(rank=0, world_size=2), Shard(rank=1, world_size=2)):
        objective = objective_of(recipe, dataset, shard)
        state, _ = objective.loss(objective.model, objective.fresh_state(), 1)
        states.append(objective.state_tensors(state))
    for name, tensor in states[0].items():
        joined = torch.cat([states[1][name], states[2][name]])
        torch.testing.assert_close(joined, tensor, rtol=1e-5, atol=1e-5)


def test_held_out_puzzles_are_not_trained_on(data: Path) -> None:
    train = read_dataset(data).train
    rest, held_out = hold_out(train, 10)
    assert (len(rest), len(held_out)) == (110, 10)
    assert np.array_equal(np.concatenate([rest.inputs, held_out.inputs]), train.inputs)
    assert len(hold_out(train, 1000)[1]) == 24  # a fifth


def test_held_out_groups_lose_their_copies() -> None:
    """In the official layout a group is a puzzle with its symmetric copies: none may be trained on."""
    train = read_dataset(Path(__file__).parents[1] / "golden" / "mini_sudoku").train
    rest, held_out = hold_out(train, 4)
    assert (len(rest), len(held_out)) == (64, 4)
    assert np.array_equal(held_out.inputs, train.inputs[[64, 68, 72, 76]])
    assert rest.group_indices.tolist() == list(range(0, 65, 4))
    assert held_out.group_indices.tolist() == [0, 1, 2, 3, 4]


def test_easy_puzzles_are_left_out(data: Path) -> None:
    train = read_dataset(data).train
    blanks = (np.asarray(train.inputs) == 1).sum(1)
    hard = hard_enough(train, 0.5)
    assert np.array_equal(hard.inputs, train.inputs[blanks >= 8])
    assert 0 < len(hard) < len(train)
    assert hard_enough(train, 0.0) is train
    with pytest.raises(InputError, match="min_unknown"):
        hard_enough(train, 0.99)


def test_a_run_is_not_overwritten(data: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        train_recipe(short_recipe(), data, trained, quiet=True)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_a_training_step(name: str, data: Path) -> None:
    """With the sizes cut down, all else as published."""
    dataset = read_dataset(data)
    recipe = fitted(recipe_named(name), dataset)
    small = replace(
        recipe.model, hidden_size=32, num_heads=2, puzzle_emb_dim=min(recipe.model.puzzle_emb_dim, 32)
    )
    recipe = replace(recipe, model=small, batch_size=4, validation_size=4)
    objective = objective_of(recipe, dataset, Shard())
    state, loss = objective.loss(objective.model, objective.fresh_state(), 1)
    loss.total.backward()
    assert torch.isfinite(loss.total.detach())
    assert objective.restarted_state(state).carry.halted.all()
    unchanged = objective.restore_state(objective.state_tensors(state))
    assert torch.equal(unchanged.carry.z_H, state.carry.z_H)
    assert set(objective.validate()) >= {"exact_accuracy", "exact_accuracy_fixed", "mean_steps"}


def test_too_few_puzzles(tmp_path: Path) -> None:
    from thinkling.puzzles.datasets.sudoku import make_sudoku

    make_sudoku(tmp_path / "few", size=4, train=3, test=1, seed=0)
    with pytest.raises(InputError, match="training set of 3 puzzles"):
        train_recipe(short_recipe(), tmp_path / "few", tmp_path / "run", quiet=True)


def test_unknown_recipe() -> None:
    with pytest.raises(InputError, match="sudoku-9x9"):
        recipe_named("sudoku-9x8")
