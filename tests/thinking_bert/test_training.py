"""Pre-training: it learns, resumes bit for bit, and does not depend on the number of processes."""

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
from small_encoder import sentences
from small_text_run import short_recipe

from thinkling.data.masking import MaskingConfig
from thinkling.data.text_store import TextStore, read_text_store, write_text_store
from thinkling.errors import InputError
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.recipes import RECIPES
from thinkling.thinking_bert.rows import MaskedRows, Stage
from thinkling.thinking_bert.run_files import read_run
from thinkling.thinking_bert.train import fitted, objective_of, tokenised, train_recipe
from thinkling.training.objective import Shard

SCRIPT = Path(__file__).with_name("small_text_run.py")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
CHECKPOINT_FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "slots.safetensors")


def repetitions(count: int) -> list[str]:
    """Texts that can be learned in seconds: every word is said four times."""
    return [
        " ".join(word for word in sentence.split() for _ in range(4))
        for sentence in sentences(count, seed=3, least=4, most=10)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TextStore:
    folder = tmp_path_factory.mktemp("corpus") / "store"
    return write_text_store(lambda: repetitions(400), folder, vocab_size=300, validation_share=0.1)


def start(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(SCRIPT), *map(str, words)], env=ONE_THREAD)


def same_files(one: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key, tensor in first.items():
            assert torch.equal(tensor, second[key]), f"{name}: {key}"


def test_it_learns(store: TextStore, tmp_path: Path) -> None:
    """Where every word is said four times, a masked one can be read off its neighbours; after 400 steps it is."""
    recipe = replace(
        short_recipe(400),
        stages=(Stage(length=16, batch_size=48, share=0.5), Stage(length=32, batch_size=24, share=0.5)),
    )
    result = train_recipe(recipe, store.folder, tmp_path / "run", quiet=True)
    assert result.metrics["masked_accuracy"] > 0.5
    assert result.metrics["masked_perplexity"] < 20
    assert set(result.metrics) >= {
        "mean_steps",
        "masked_accuracy_1",
        "masked_accuracy_2",
        "masked_accuracy_3",
    }
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["product"] == "thinking_bert"
    assert config["model"]["vocab_size"] == store.tokenizer.vocab_size
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (
        store.folder / "tokenizer.json"
    ).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    limits = [row["mean_steps"] for row in rows if row["kind"] == "train" and "mean_steps" in row]
    assert limits[0] == 1.0
    assert max(limits) > 1.5, "the limit of rounds grows"


def test_killed_and_resumed_equals_uninterrupted(store: TextStore, tmp_path: Path) -> None:
    """SIGKILL at a moment that falls anywhere, then resume: every tensor is the same, bit for bit, over both stages."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(store.folder, whole, 60, "muon").wait() == 0
    process = start(store.folder, broken, 60, "muon")
    state = broken / "checkpoints" / "last" / "train_state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (state.exists() and '"step": 0,' not in state.read_text()):
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(store.folder, broken, 60, "muon", "resume").wait() == 0
    same_files(whole / "checkpoints" / "last", broken / "checkpoints" / "last", CHECKPOINT_FILES)
    same_files(whole, broken, ("model.safetensors", "ema.safetensors"))


def test_two_processes_equal_one(store: TextStore, tmp_path: Path) -> None:
    """DDP over gloo: the same slots take the same rows, and the weights agree to 1e-5.

    With AdamW: Muon orthogonalises in bf16, which makes thousandths of an update out of the last bit of a gradient.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    assert start(store.folder, one, 12, "adamw").wait() == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*torchrun, str(SCRIPT), str(store.folder), str(two), "12", "adamw"],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    ours, theirs = (load_file(run / "checkpoints" / "last" / "slots.safetensors") for run in (one, two))
    for key in ("inputs", "documents", "positions", "labels", "steps", "halted", "refills"):
        assert torch.equal(ours[key], theirs[key]), key
    ours, theirs = (load_file(run / "checkpoints" / "last" / "model.safetensors") for run in (one, two))
    for key, tensor in ours.items():
        torch.testing.assert_close(theirs[key], tensor, rtol=1e-5, atol=1e-5)


def test_stages_follow_each_other(store: TextStore) -> None:
    recipe = fitted(short_recipe(20), store)
    objective = objective_of(recipe, store, Shard(), "cpu")
    state = objective.fresh_state()
    shapes = []
    for step in range(1, 21):
        state, loss = objective.loss(objective.model, state, step)
        assert torch.isfinite(loss.total)
        shapes.append(tuple(state.batch.inputs.shape))
    assert shapes == [(8, 16)] * 10 + [(4, 32)] * 10


def test_a_row_depends_on_seed_and_item_only(store: TextStore) -> None:
    rows = MaskedRows(store.train, store.tokenizer, 16, MaskingConfig())
    many = rows.items(np.arange(40), seed=1)
    few = rows.items(np.array([31, 7]), seed=1)
    for part in ("inputs", "documents", "positions", "labels"):
        assert torch.equal(getattr(many, part)[[31, 7]], getattr(few, part)), part
    epoch_later = rows.items(np.arange(40) + len(rows), seed=1)
    assert not torch.equal(epoch_later.inputs, many.inputs), "order and masks change with the epoch"


def test_masked_rows_give_the_text_back(store: TextStore) -> None:
    """Putting the labels back gives rows of the corpus, and a tenth of the masked places shows the true token."""
    rows = MaskedRows(store.train, store.tokenizer, 32, MaskingConfig(rate=0.3))
    batch = rows.items(np.arange(len(rows)), seed=5)
    counted = batch.positions >= 0
    shown = batch.inputs.gather(1, batch.positions.clamp(min=0))[counted]
    assert 0.75 < (shown == store.tokenizer.mask_id).float().mean() < 0.85
    assert 0.07 < (shown == batch.labels[counted]).float().mean() < 0.15
    whole = batch.inputs.clone()
    rows_of, places = counted.nonzero().T
    whole[rows_of, batch.positions[rows_of, places]] = batch.labels[rows_of, places]
    tokens = np.bincount(whole[batch.documents > 0].numpy(), minlength=300)[5:]
    expected = np.bincount(np.asarray(store.train.tokens, dtype=np.int64), minlength=300)[5:]
    assert np.array_equal(tokens, expected), "one epoch holds every token of the corpus once"


def test_one_token_masked_at_a_time(store: TextStore) -> None:
    rows = MaskedRows(store.validation, store.tokenizer, 32, MaskingConfig())
    batch = rows.one_masked_at_a_time(0)
    assert ((batch.inputs == store.tokenizer.mask_id).sum(1) == 1).all()
    assert (batch.inputs.gather(1, batch.positions) == store.tokenizer.mask_id).all()
    specials = {store.tokenizer.cls_id, store.tokenizer.sep_id, store.tokenizer.pad_id}
    assert specials.isdisjoint(batch.labels.flatten().tolist())


def test_plain_text_is_tokenised_into_the_run(tmp_path: Path) -> None:
    source = tmp_path / "corpus.txt"
    source.write_text("\n\n".join(repetitions(120)), encoding="utf-8")
    train_recipe(short_recipe(2), source, tmp_path / "run", quiet=True)
    made = read_text_store(tmp_path / "run" / "text")
    assert made.tokenizer.vocab_size <= 300
    again = tokenised(source, tmp_path / "run", 300)
    assert again.sha256 == made.sha256


def test_another_corpus_is_not_taken_for_the_one_in_the_run(tmp_path: Path) -> None:
    """A run that was stopped right after tokenising once went on with that corpus, whatever `--data` then said."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("\n\n".join(repetitions(60)), encoding="utf-8")
    second.write_text("\n\n".join(sentences(60)), encoding="utf-8")
    tokenised(first, tmp_path / "run", 300)
    with pytest.raises(InputError, match=r"second\.txt .*first\.txt"):
        tokenised(second, tmp_path / "run", 300)
    with pytest.raises(InputError, match="vocabulary of 280"):
        tokenised(first, tmp_path / "run", 280)


def test_pretraining_goes_on_with_other_texts(store: TextStore, tmp_path: Path) -> None:
    """From a run come weights, architecture and vocabulary; a corpus cut by another vocabulary is refused."""
    first, source = tmp_path / "first", tmp_path / "other.txt"
    source.write_text("\n\n".join(sentences(60)), encoding="utf-8")
    train_recipe(short_recipe(4), store.folder, first, quiet=True)
    narrower = replace(short_recipe(1), model=replace(short_recipe().model, hidden_size=16, vocab_size=280))
    train_recipe(narrower, source, tmp_path / "second", init=first, quiet=True)
    files = read_run(tmp_path / "second")
    assert files.model == read_run(first).model
    assert files.tokenizer.to_json() == store.tokenizer.to_json()
    started = objective_of(
        fitted(short_recipe(), store), store, Shard(), device="cpu", init=read_run(first)
    ).model.state_dict()
    for name, weight in load_file(first / "model.safetensors").items():
        assert torch.equal(started[name], weight), name
    alien = write_text_store(lambda: sentences(60), tmp_path / "alien", vocab_size=280)
    with pytest.raises(InputError, match="another vocabulary"):
        train_recipe(short_recipe(1), alien.folder, tmp_path / "third", init=first, quiet=True)
    with pytest.raises(InputError, match="init and modernbert"):
        train_recipe(short_recipe(1), None, tmp_path / "third", init=first, modernbert=first, quiet=True)


def test_a_corpus_of_one_document(tmp_path: Path) -> None:
    source = tmp_path / "corpus.txt"
    source.write_text("just one document, and nothing to hold out", encoding="utf-8")
    with pytest.raises(InputError, match="document"):
        train_recipe(short_recipe(2), source, tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").glob("**/*.safetensors"))


@pytest.mark.parametrize("name", [name for name in RECIPES if not name.endswith("768")])
def test_recipes_make_models(name: str, store: TextStore) -> None:
    recipe = fitted(RECIPES[name](), store)
    objective = objective_of(replace(recipe, validation_rows=2), store, Shard(), "cpu")
    assert objective.describe()["model"]["vocab_size"] == store.tokenizer.vocab_size


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        ((), "without stages"),
        ((Stage(length=4, batch_size=8, share=1.0),), "length 4"),
        ((Stage(length=16, batch_size=8, share=0.5),), "add up to 0.5"),
        ((Stage(length=32, batch_size=8, share=0.5), Stage(length=16, batch_size=8, share=0.5)), "grow"),
        ((Stage(length=64, batch_size=8, share=1.0),), "model of 32"),
    ],
)
def test_a_curriculum_that_cannot_work(stages: tuple[Stage, ...], named: str) -> None:
    with pytest.raises(InputError, match=named):
        replace(short_recipe(), stages=stages)


def test_one_round_learns_no_continue_value(store: TextStore) -> None:
    recipe = replace(fitted(short_recipe(4), store), halting=HaltingConfig(max_steps=1))
    objective = objective_of(recipe, store, Shard(), "cpu")
    calls = []

    def counted(*args):
        calls.append(1)
        return objective.model(*args)

    objective.loss(counted, objective.fresh_state(), 1)
    assert len(calls) == 1
