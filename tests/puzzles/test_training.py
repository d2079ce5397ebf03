"""Training a puzzle model: resume bit for bit, one process equals two, no example depends on the others."""

from __future__ import annotations

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

from tests.puzzles.conftest import short_recipe
from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles.examples import Examples, hold_out
from thinkling.puzzles.recipes import RECIPES, recipe_named
from thinkling.puzzles.train import fitted, objective_of, train_recipe
from thinkling.tasks.registry import get_task
from thinkling.training.objective import Shard

SCRIPT = """
import sys
from pathlib import Path
from tests.puzzles.conftest import short_recipe
from thinkling.puzzles.train import train_recipe
import torch
torch.set_num_threads(1)
steps, data, out, resume = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "resume"
recipe = short_recipe(steps, learning_rate=1e-3, ema_decay=0.9, optimizer=sys.argv[5], checkpoint_every=10)
train_recipe(recipe, data, out, resume=resume, quiet=True)
"""


def start(steps: int, data: Path, out: Path, resume: bool, optimizer: str) -> subprocess.Popen[bytes]:
    words = [str(steps), str(data), str(out), "resume" if resume else "new", optimizer]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *words], cwd=Path(__file__).parents[2])


def same_files(one: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            assert torch.equal(tensor, second[key]), f"{name}: {key}"


CHECKPOINT_FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "slots.safetensors")


@pytest.mark.parametrize("optimizer", ["adamw", "adam_atan2"])
def test_killed_and_resumed_equals_uninterrupted(data: Path, tmp_path: Path, optimizer: str) -> None:
    """SIGKILL at a moment that falls anywhere, then --resume: every tensor is the same, bit for bit."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(200, data, whole, False, optimizer).wait() == 0
    process = start(200, data, broken, False, optimizer)
    metrics = broken / "checkpoints" / "last" / "train_state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (metrics.exists() and '"step": 0' not in metrics.read_text()):
        time.sleep(0.02)
    time.sleep(0.13)
    process.send_signal(signal.SIGKILL)
    assert process.wait() != 0
    assert start(200, data, broken, True, optimizer).wait() == 0
    same_files(whole / "checkpoints" / "last", broken / "checkpoints" / "last", CHECKPOINT_FILES)
    same_files(whole, broken, ("model.safetensors", "ema.safetensors"))


def test_two_processes_equal_one(data: Path, tmp_path: Path) -> None:
    """DDP over gloo: the same slots take the same examples, and the weights agree to 1e-5."""
    script = tmp_path / "two.py"
    script.write_text(
        SCRIPT.replace("ema_decay=0.9", "ema_decay=0.0").replace("learning_rate=1e-3", "learning_rate=1e-4")
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    arguments = ["12", str(data), "{}", "new", "adamw"]
    one, two = tmp_path / "one", tmp_path / "two"
    first = [sys.executable, str(script), *arguments]
    first[4] = str(one)
    subprocess.run(first, check=True, cwd=root, env=environment)
    second = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *first[1:]]
    second[second.index(str(one))] = str(two)
    subprocess.run(second, check=True, cwd=root, env=environment, capture_output=True)
    for name in ("model.safetensors", "slots.safetensors"):
        ours, theirs = (load_file(run / "checkpoints" / "last" / name) for run in (one, two))
        for key, tensor in ours.items():
            torch.testing.assert_close(theirs[key].float(), tensor.float(), rtol=1e-5, atol=1e-5)


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


def test_a_run_is_not_overwritten(data: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        train_recipe(short_recipe(), data, trained, quiet=True)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_a_training_step(name: str, data: Path) -> None:
    """With the sizes cut down, all else as published."""
    dataset = read_dataset(data)
    recipe = fitted(recipe_named(name), dataset)
    small = replace(recipe.model, hidden_size=32, num_heads=2, puzzle_emb_dim=min(recipe.model.puzzle_emb_dim, 32))
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
    from thinkling.puzzles.datasets import make_sudoku

    make_sudoku(tmp_path / "few", size=4, train=3, test=1, seed=0)
    with pytest.raises(InputError, match="training set of 3 puzzles"):
        train_recipe(short_recipe(), tmp_path / "few", tmp_path / "run", quiet=True)


def test_unknown_recipe() -> None:
    with pytest.raises(InputError, match="sudoku-9x9"):
        recipe_named("sudoku-9x8")
