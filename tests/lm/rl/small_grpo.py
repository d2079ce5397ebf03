"""Reinforcement learning in seconds: a small random model, problems, and rewards that random text earns now and then.

Also a script, for the test that runs it under torchrun:

python small_grpo.py FOLDER OUT STEPS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import write_random_run

from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.rl.train import train_grpo
from thinkling.tasks.reward import RewardProblem
from thinkling.training.trainer import TrainResult

QUESTIONS = 12


def vowel(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
    """About a tenth of what a random model says has an a in it."""
    return float("a" in text)


def constant(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
    """The same for everything."""
    return 1.0


def write_problems(path: Path, rows: Iterable[dict[str, Any]] | None = None) -> Path:
    """Problems as JSON lines."""
    rows = rows or ({"problem": f"What is {n}?", "answer": str(n)} for n in range(QUESTIONS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_start(folder: Path) -> Path:
    """A folder with a run `start` and problems `data.jsonl`."""
    write_random_run(folder / "start", max_length=64)
    write_problems(folder / "data.jsonl")
    return folder


def short_recipe(steps: int = 2, *, train: dict[str, Any] | None = None, **grpo: Any) -> GrpoRecipe:
    """Four prompts with four completions of at most 8 tokens; groups without signal stay."""
    settings: dict[str, Any] = {"validate_every": 0, "checkpoint_every": 0, "warmup_steps": 0}
    settings |= {"compute_dtype": "float32", "learning_rate": 3e-4}
    small: dict[str, Any] = {
        "group_size": 4,
        "prompts_per_step": 4,
        "max_tokens": 8,
        "dynamic_sampling": False,
    }
    recipe = GrpoRecipe()
    return replace(
        recipe,
        train=replace(recipe.train, steps=steps, **settings | (train or {})),
        grpo=GrpoConfig(**small | grpo),
        validation_share=0.34,
        validation_problems=4,
        validation_samples=1,
        guard="off",
    )


def run(folder: Path, out: Path, recipe: GrpoRecipe, **settings: Any) -> TrainResult:
    """Train from the folder's run on its problems."""
    given: dict[str, Any] = {"init": folder / "start", "data": folder / "data.jsonl", "reward": vowel}
    return train_grpo(recipe, out=out, device="cpu", quiet=True, **given | settings)


def rows_of(out: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The rows of a kind in a run's metrics.jsonl."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]), short_recipe(int(sys.argv[3]), updates_per_rollout=2))
