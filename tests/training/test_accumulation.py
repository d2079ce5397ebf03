"""Gradients of several parts make one update, every row counting the same."""

from __future__ import annotations

import json

import pytest
import torch
from small_objective import WIDTH, run
from torch import Tensor, nn

from thinkling.artifacts.checkpoint import load_checkpoint
from thinkling.errors import InputError
from thinkling.training.objective import Loss, added


class UnevenObjective:
    """Part number n of a training run has the n-th rows of a table; some parts have one row, others three."""

    validation_metric = "score"
    counted = "examples"
    held_out = True

    def __init__(self, parts: int, *, poison: int = -1) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(WIDTH, 1)
        self.batch_size, self.parts, self.poison = 1, parts, poison
        self.numbers: list[int] = []

    def rows_of(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return torch.randn(1 if number % 2 else 3, WIDTH, generator=generator)

    def fresh_state(self) -> None:
        return None

    def loss(self, forward, state: None, step: int) -> tuple[None, Loss]:
        self.numbers.append(step)
        # One part at a time, or all parts of a step at once.
        wanted = [step] if self.parts == 1 else range((step - 1) * self.parts + 1, step * self.parts + 1)
        rows = torch.cat([self.rows_of(number) for number in wanted])
        total = (forward(rows)[:, 0] - rows.sum(-1)).square().sum()
        if step == self.poison:
            total = total * torch.nan
        count = torch.tensor(len(rows))
        return None, Loss(total=total, count=count, metrics={"rows": (count, torch.tensor(1))})

    def state_tensors(self, state: None) -> dict[str, Tensor]:
        return {}

    def restore_state(self, tensors) -> None:
        return None

    def restarted_state(self, state: None) -> None:
        return None

    def validate(self) -> dict[str, float]:
        return {"score": 0.0}

    def describe(self) -> dict:
        return {"product": "tests", "architecture": "uneven", "model": {}, "task": {"name": "sum"}}

    def write_files(self, folder) -> None:
        """Nothing but config and weights."""


def weights(path) -> dict[str, Tensor]:
    return load_checkpoint(path / "checkpoints" / "last").weights


def test_parts_equal_one_large_batch(tmp_path):
    """Four uneven parts give the weights of one batch of all their rows, and the same loss in the log."""
    settings = {"steps": 12, "optimizer": "adamw", "learning_rate": 1e-2, "log_every": 4}
    parts = UnevenObjective(1)
    run(tmp_path / "parts", objective=parts, accumulation=4, **settings)
    assert parts.numbers == list(range(1, 49))
    run(tmp_path / "whole", objective=UnevenObjective(4), **settings)
    whole = weights(tmp_path / "whole")
    for name, tensor in weights(tmp_path / "parts").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-5, atol=1e-6)
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
            if json.loads(line)["kind"] == "train"
        ]
        for name in ("parts", "whole")
    ]
    assert len(losses[0]) == 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_poisoned_part_spoils_its_step_only(tmp_path):
    result = run(tmp_path, objective=UnevenObjective(1, poison=6), accumulation=4, steps=6)
    assert result.step == 6
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())
    state = json.loads((tmp_path / "checkpoints" / "last" / "train_state.json").read_text())
    assert state["guard"]["skipped"] == 1


def test_resume_keeps_the_parts(tmp_path):
    """Step n shows other batches with another number of parts, so it must stay the same."""
    run(tmp_path, objective=UnevenObjective(1), accumulation=2, steps=4)
    with pytest.raises(InputError, match=r"training\.accumulation = 3"):
        run(tmp_path, objective=UnevenObjective(1), accumulation=3, steps=6, resume=True)
    again = UnevenObjective(1)
    run(tmp_path, objective=again, accumulation=2, steps=6, resume=True)
    assert again.numbers == [9, 10, 11, 12]


def test_no_part_is_refused(tmp_path):
    with pytest.raises(InputError, match="accumulation = 0"):
        run(tmp_path, accumulation=0)


def test_losses_are_added():
    one = Loss(torch.tensor(3.0), torch.tensor(2), {"a": (torch.tensor(1.0), torch.tensor(2))})
    other = Loss(torch.tensor(5.0), torch.tensor(4), {"a": (torch.tensor(2.0), torch.tensor(4))})
    both = added([one, other])
    assert (both.total.item(), both.count.item()) == (8.0, 6)
    assert [part.item() for part in both.metrics["a"]] == [3.0, 6]
