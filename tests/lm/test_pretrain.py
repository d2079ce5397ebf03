"""Pre-training: it learns, resumes bit for bit, does not depend on the processes, and refuses what cannot be."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from small_pretrain import short_recipe, stories, write_corpus

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.mixture import Phase
from thinkling.data.text_store import write_text_store
from thinkling.errors import InputError
from thinkling.lm.corpora import LMTextStore, corpora, names_of
from thinkling.lm.model import Decoder
from thinkling.lm.presets import PRESETS
from thinkling.lm.pretrain import fitted, objective_of, train_recipe
from thinkling.lm.recipes import RECIPES
from thinkling.lm.run_files import CHAT, read_run
from thinkling.training.objective import Shard

SCRIPT = Path(__file__).with_name("small_pretrain.py")
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LMTextStore:
    folder = tmp_path_factory.mktemp("corpus") / "store"
    return write_text_store(
        lambda: stories(300), folder, kind=ChatTokenizer, vocab_size=330, validation_share=0.1
    )


def same_weights(one: Path, other: Path, tolerance: float = 0.0) -> None:
    first, second = (load_file(run / "checkpoints" / "last" / "model.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=tolerance, atol=tolerance)


def test_it_learns_and_says_so(store: LMTextStore, tmp_path: Path, capsys) -> None:
    """After 200 steps the next word is known; samples are shown; the folder holds what other programs need."""
    recipe = replace(short_recipe(200, validate_every=100), validation_tasks=("sum",))
    result = train_recipe(recipe, [store.folder], tmp_path / "run")
    assert result.metrics["token_accuracy"] > 0.7
    assert result.metrics["bits_per_byte"] < 0.8
    assert result.metrics["compression_ratio"] == pytest.approx(8 / result.metrics["bits_per_byte"])
    assert result.metrics["problem_accuracy"] < 0.5
    assert capsys.readouterr().err.count("sample:") == 2 * len(recipe.sample_prompts)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["product"], config["task"]) == ("lm", {"name": "pretraining"})
    assert config["model_type"] == "qwen3"
    names = {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"}
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}
    files = read_run(tmp_path / "run" / "checkpoints" / "best")
    assert files.stage == "pretraining"
    assert files.tokenizer.to_json() == store.tokenizer.to_json()
    with pytest.raises(InputError, match="train it on conversations first"):
        read_run(tmp_path / "run", CHAT)


def test_stopped_and_resumed_equals_uninterrupted(store: LMTextStore, tmp_path: Path, monkeypatch) -> None:
    """Stopped at step 14 of 30, between two checkpoints, with accumulation and a mixture that changes at step 15."""
    changes = {"optimizer": "adamw", "accumulation": 2}
    recipe = replace(
        short_recipe(30, **changes),
        phases=(Phase(share=0.5, weights=(0.8, 0.2)), Phase(share=0.5, weights=(0.1, 0.9))),
    )
    data = [store.folder, write_corpus(tmp_path / "more.txt", stories(80, seed=5))]
    train_recipe(recipe, data, tmp_path / "whole", quiet=True)
    updates, apply = [], torch.optim.AdamW.step

    def stopping(self, *args, **more):
        updates.append(1)
        if len(updates) == 13:  # heard in the next step
            os.kill(os.getpid(), signal.SIGTERM)
        return apply(self, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", stopping)
        stopped = train_recipe(recipe, data, tmp_path / "parts", quiet=True)
    assert (stopped.step, stopped.stopped) == (14, "signal")
    train_recipe(recipe, data, tmp_path / "parts", resume=True, quiet=True)
    same_weights(tmp_path / "whole", tmp_path / "parts")


def test_two_processes_equal_one(store: LMTextStore, tmp_path: Path) -> None:
    """DDP over gloo with accumulated gradients: together the ranks see the same rows, and the weights agree."""
    words = ["8", "2", str(store.folder)]
    run = [sys.executable, str(SCRIPT), str(tmp_path / "one"), *words]
    assert subprocess.run(run, env=ONE_THREAD).returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [*torchrun, str(SCRIPT), str(tmp_path / "two"), *words],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    same_weights(tmp_path / "one", tmp_path / "two", 1e-5)


def test_checkpointing_changes_nothing_but_memory(store: LMTextStore) -> None:
    recipe = fitted(short_recipe(), store.tokenizer.vocab_size)
    gradients = []
    for checkpointing in (False, True):
        objective = objective_of(
            replace(recipe, checkpointing=checkpointing), [store], Shard(), "cpu", quiet=True
        )
        loss = objective.loss(objective.model, None, 1)[1]
        (loss.total / loss.count).backward()
        gradients.append({name: param.grad for name, param in objective.model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_started_from_another_run(store: LMTextStore, tmp_path: Path) -> None:
    """Continued pre-training: weights, architecture and tokenizer are those of the run, new text is cut by it."""
    train_recipe(short_recipe(3), [store.folder], tmp_path / "first", quiet=True)
    more = write_corpus(tmp_path / "more.txt", stories(60, seed=9))
    recipe = replace(short_recipe(1, learning_rate=0.0, muon_learning_rate=0.0), model=PRESETS["5m"])
    train_recipe(recipe, [more], tmp_path / "second", init=tmp_path / "first", quiet=True)
    files = read_run(tmp_path / "second")
    assert files.model == read_run(tmp_path / "first").model
    assert files.tokenizer.to_json() == store.tokenizer.to_json()
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_several_corpora_share_one_tokenizer(store: LMTextStore, tmp_path: Path) -> None:
    one = write_corpus(tmp_path / "one.txt", stories(60, seed=1))
    two = write_corpus(tmp_path / "two.txt", ["zzz qqq " * 8 + str(number) for number in range(60)])
    stores = corpora([one, two], tmp_path / "run", 300)
    assert stores[0].tokenizer.to_json() == stores[1].tokenizer.to_json()
    assert len(stores[0].tokenizer.encode("zzz qqq")) <= 3, "learned from both"
    assert names_of(stores) == ["one", "two"]
    again = corpora([one, two], tmp_path / "run", 300)
    assert [store.sha256 for store in again] == [store.sha256 for store in stores]
    with pytest.raises(InputError, match=r"which .* was made from"):
        corpora([one, two], tmp_path / "run", 310)
    with pytest.raises(InputError, match="cut by another tokenizer"):
        corpora([store.folder, stores[0].folder], tmp_path / "other", 300)
    mixed = corpora([one, store.folder], tmp_path / "mixed", 300)
    assert mixed[0].tokenizer.to_json() == store.tokenizer.to_json()


def test_bad_corpora(store: LMTextStore, tmp_path: Path) -> None:
    """A shard cut short in the middle, bytes that are no UTF-8, an encoder's corpus, no corpus: each is named."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in stories(200)).encode()
    packed = gzip.compress(lines)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.jsonl.gz").write_bytes(packed)
    (tmp_path / "shards" / "b.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"b\.jsonl\.gz"):
        train_recipe(short_recipe(1), [tmp_path / "shards"], tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "text").exists()
    (tmp_path / "latin.txt").write_bytes(b"fine\n\ncaf\xe9\n\nfine too\n")
    with pytest.raises(InputError, match=r"latin\.txt"):
        train_recipe(short_recipe(1), [tmp_path / "latin.txt"], tmp_path / "run", quiet=True)
    write_text_store(lambda: stories(60), tmp_path / "encoder", vocab_size=300)
    with pytest.raises(InputError, match="encoder"):
        train_recipe(short_recipe(1), [tmp_path / "encoder"], tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="no corpus"):
        train_recipe(short_recipe(1), [], tmp_path / "run", quiet=True)
    recipe = replace(short_recipe(1), phases=(Phase(share=1.0, weights=(1, 2)),))
    with pytest.raises(InputError, match="2 weights for 1 corpora"):
        train_recipe(recipe, [store.folder], tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"length": 129}, "rows of length 129"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"z_loss": -1.0}, "z_loss"),
        ({"phases": ()}, "without phases"),
    ],
)
def test_impossible_recipes(changes, words) -> None:
    with pytest.raises(InputError, match=words):
        replace(short_recipe(), **changes)


def test_a_vocabulary_that_is_no_multiple_of_the_tile(store: LMTextStore) -> None:
    """A small corpus has not enough words for a published size's vocabulary; it trains all the same."""
    recipe = fitted(RECIPES["lm-500m"](), 330)
    assert (recipe.model.vocab_size, recipe.model.tile_aligned) == (330, False)
    assert fitted(RECIPES["lm-500m"](), 1280).model.tile_aligned


@pytest.mark.parametrize("size", list(PRESETS))
def test_every_size_has_a_recipe(size) -> None:
    """Its warm-up and the end of its schedule are those that the plan of training names."""
    recipe = RECIPES[f"lm-{size}"]()
    assert recipe.model == PRESETS[size]
    train = recipe.train
    assert train.warmup_steps == round(0.02 * train.steps)
    if not PRESETS[size].tile_aligned:
        return
    assert recipe.tokens / train.steps == 2**19
    assert (train.optimizer, train.betas, train.learning_rate) == ("adamw", (0.9, 0.95), 3e-4)
    assert (train.min_lr_ratio, train.weight_decay, train.grad_clip) == (0.1, 0.1, 1.0)
    with torch.device("meta"):
        assert Decoder(recipe.model).params > 4e8
