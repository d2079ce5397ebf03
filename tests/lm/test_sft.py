"""Fine-tuning: it learns to think and answer, keeps the best weights, resumes bit for bit, refuses what cannot work."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from small_sft import digits, short_recipe, write_base_run, write_rows

from thinkling.artifacts.weights import load_into, read_model_weights
from thinkling.data.chat_template import Message, prompt_ids
from thinkling.errors import InputError
from thinkling.lm import objective as objective_module
from thinkling.lm.model import Decoder
from thinkling.lm.objective import next_token_loss
from thinkling.lm.run_files import CHAT, read_run
from thinkling.lm.sft import objective_of, prepared, train_sft, validation
from thinkling.lm.sft_recipe import SftRecipe
from thinkling.training.objective import Shard
from thinkling.training.trainer import TrainResult


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pre-trained run and problems."""
    folder = tmp_path_factory.mktemp("sft")
    write_base_run(folder / "base")
    write_rows(folder / "data.jsonl", digits(range(100, 1000, 3)))
    return folder


def answer(run: Path, question: str) -> str:
    """What a run's weights say, token by token, always the likeliest."""
    files = read_run(run, CHAT)
    model = Decoder(files.model)
    load_into(model, read_model_weights(files.folder))
    ids = prompt_ids(files.tokenizer, [Message(role="user", content=question)])
    with torch.no_grad():
        for _ in range(20):
            ids.append(int(model.logits(model(torch.tensor([ids])))[0, -1].argmax()))
            if ids[-1] in files.tokenizer.stop_ids:
                break
    text: str = files.tokenizer.decode(ids, special=True)
    return text.rpartition("<|im_start|>assistant\n")[2]


def test_it_learns_to_think_and_answer(folder: Path, tmp_path: Path) -> None:
    """After 100 steps of eight it repeats a number it has never seen and says the last digit."""
    result = train_sft(
        short_recipe(100), folder / "base", folder / "data.jsonl", tmp_path / "run", quiet=True
    )
    assert result.step == 100
    assert result.metrics["token_accuracy"] > 0.95
    assert result.metrics["log_probability"] == -result.metrics["loss"]
    held_out = sum(
        answer(tmp_path / "run", f"last of {n}?") == f"<think>{n}</think>{n % 10}<|im_end|>"
        for n in (155, 341, 734, 989)
    )
    assert held_out >= 3
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["task"] == {"name": "chat"}
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    told = config["objective"]
    assert (told["train_examples"], told["validation_examples"], told["too_long"]) == (285, 15, 0)
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json", "report.md", "README.md"):
        assert (tmp_path / "run" / name).exists(), name


def test_the_best_weights_are_kept(folder: Path, tmp_path: Path) -> None:
    """Where the held-out answer is another one, more training makes it less likely: early weights are the best."""
    data = tmp_path / "data"
    data.mkdir()
    write_rows(data / "train.jsonl", ({"problem": f"last of {n}?", "answer": "1"} for n in range(40)))
    write_rows(
        data / "validation.jsonl", ({"problem": f"last of {n}?", "answer": "2"} for n in range(50, 60))
    )
    recipe = short_recipe(40, validate_every=5, checkpoint_every=20)
    result = train_sft(recipe, folder / "base", data, tmp_path / "run", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert min(losses) < losses[-1]
    assert result.metrics["loss"] == min(losses)
    files = read_run(tmp_path / "run")
    model = Decoder(files.model)
    load_into(model, read_model_weights(files.folder))
    ready = prepared(recipe, folder / "base", data)
    assert validation(model, ready.scored, 8)["loss"] == pytest.approx(min(losses), rel=1e-4)


def test_packed_examples_do_not_see_each_other(folder: Path) -> None:
    """The loss of rows with several examples is the sum of the losses of rows with one."""
    ready = prepared(short_recipe(), folder / "base", folder / "data.jsonl")
    short = write_rows(folder / "short.jsonl", ({"problem": str(n), "answer": str(n + 1)} for n in range(24)))
    packed = prepared(short_recipe(), folder / "base", short)
    alone = prepared(replace(short_recipe(), length=24), folder / "base", short)
    assert len(packed.rows) < len(alone.rows)
    model = objective_of(ready, Shard(), "cpu").model
    with torch.no_grad():
        totals = [
            next_token_loss(model, model, each.rows.numbered(np.arange(len(each.rows)))).total
            for each in (packed, alone)
        ]
    torch.testing.assert_close(totals[0], totals[1], rtol=1e-5, atol=1e-4)


def test_training_starts_from_the_weights_of_the_run(folder: Path) -> None:
    objective = objective_of(prepared(short_recipe(), folder / "base", folder / "data.jsonl"), Shard(), "cpu")
    started = load_file(folder / "base" / "model.safetensors")
    for name, tensor in objective.model.state_dict().items():
        assert torch.equal(tensor, started[name]), name


def test_interrupted_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in step 15 and resumed without naming the first run again: the same weights, bit for bit."""
    recipe = short_recipe(20, checkpoint_every=10, validate_every=10)

    def run(out: Path, init: Path | None = folder / "base", *, resume: bool = False) -> TrainResult:
        return train_sft(recipe, init, folder / "data.jsonl", out, resume=resume, quiet=True)

    run(tmp_path / "whole")
    calls = []

    def breaking(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return next_token_loss(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(objective_module, "next_token_loss", breaking)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken")
    with pytest.raises(InputError, match="already holds a run"):
        run(tmp_path / "broken")
    result = run(tmp_path / "broken", init=None, resume=True)
    assert result.step == 20
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_other_data_are_not_taken_on_resume(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "data.jsonl", tmp_path / "data.jsonl")
    train_sft(short_recipe(2), folder / "base", tmp_path / "data.jsonl", tmp_path / "run", quiet=True)
    write_rows(tmp_path / "data.jsonl", digits(range(101, 1000, 3)))
    with pytest.raises(InputError, match="data_sha256"):
        train_sft(short_recipe(4), None, tmp_path / "data.jsonl", tmp_path / "run", resume=True, quiet=True)


def test_another_start_is_not_taken_on_resume(folder: Path, tmp_path: Path) -> None:
    """The same weights from another place are the same start; others are refused."""
    data = folder / "data.jsonl"
    train_sft(short_recipe(2), folder / "base", data, tmp_path / "run", quiet=True)
    moved = shutil.copytree(folder / "base", tmp_path / "moved")
    assert train_sft(short_recipe(3), moved, data, tmp_path / "run", resume=True, quiet=True).step == 3
    with pytest.raises(InputError, match="init_sha256"):
        train_sft(short_recipe(4), tmp_path / "run", data, tmp_path / "run", resume=True, quiet=True)


def test_examples_left_out_are_reported_even_when_quiet(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_rows(tmp_path / "data.jsonl", digits([*range(30), 10**80]))
    train_sft(short_recipe(2), folder / "base", data, tmp_path / "run", quiet=True)
    said = capsys.readouterr().err
    assert "1 of 31 examples are left out: longer than 64 tokens (the first: " in said
    assert "data.jsonl line 31" in said
    assert json.loads((tmp_path / "run" / "config.json").read_text())["objective"]["too_long"] == 1


def test_steps_follow_from_epochs() -> None:
    recipe = SftRecipe().resolved(1000)  # 16 rows a step: 62.5 steps an epoch
    assert (recipe.train.steps, recipe.train.warmup_steps) == (125, 4)
    assert (recipe.train.validate_every, recipe.train.checkpoint_every) == (32, 32)
    own = replace(SftRecipe().train, steps=300, validate_every=7, warmup_steps=11)
    recipe = replace(SftRecipe(), train=own).resolved(1000)
    assert (recipe.train.steps, recipe.train.validate_every, recipe.train.warmup_steps) == (300, 7, 11)
    assert replace(SftRecipe(), epochs=0.0).resolved(1000).train.steps == 1
    accumulated = replace(SftRecipe(), train=replace(SftRecipe().train, accumulation=2))
    assert accumulated.resolved(1000).train.steps == 63


def test_a_warm_up_ends_where_a_clock_ends_training() -> None:
    """A run for so many seconds, its steps set high, once stayed in a warm-up of thousands of steps until the end."""
    timed = replace(SftRecipe().train, steps=100_000, time_limit_seconds=60.0, lr_by_time=True)
    assert SftRecipe(train=timed, epochs=0).resolved(rows=1000).train.warmup_steps == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_size", 0),
        ("validation_examples", 0),
        ("epochs", -1.0),
        ("length", -1),
        ("z_loss", -0.1),
        ("warmup_share", 1.0),
        ("validation_share", 0.0),
        ("validation_share", 1.0),
    ],
)
def test_settings_that_cannot_work(setting: str, value: float) -> None:
    with pytest.raises(InputError, match=setting):
        replace(SftRecipe(), **{setting: value})


def test_rows_longer_than_the_context(folder: Path) -> None:
    with pytest.raises(InputError, match="length 65 for a model with a context of 64 tokens"):
        prepared(replace(short_recipe(), length=65), folder / "base", folder / "data.jsonl")


def test_a_model_to_start_from_is_needed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init RUN"):
        train_sft(short_recipe(), None, folder / "data.jsonl", tmp_path / "run")
    with pytest.raises(InputError, match="nowhere"):
        train_sft(short_recipe(), tmp_path / "nowhere", folder / "data.jsonl", tmp_path / "run")
    assert not (tmp_path / "run").exists()
