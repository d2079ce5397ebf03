"""A classifier: its network, how it is trained, resumed, scored and used."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_classify import label_of, short_recipe, write_texts
from small_encoder import sentences, small_config

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking.carry import Carry
from thinkling.thinking.halting import HaltingConfig, HaltRule
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.classifier_model import ClassifierModel
from thinkling.thinking_bert.classify_data import LabelledTexts
from thinkling.thinking_bert.classify_evaluate import macro_f1, think_all_rounds
from thinkling.thinking_bert.classify_examples import ClassifyExamples, rows_of
from thinkling.thinking_bert.classify_recipe import ClassifyRecipe, train_classifier
from thinkling.thinking_bert.config import HighLevel
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.packed_round import packed_places, packed_round
from thinkling.thinking_bert.text_stream import batch_of
from thinkling.training.run_log import read_rows


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.tsv"
    write_texts(path, 400)
    return path


@pytest.fixture(scope="module")
def run(texts: Path, random_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 150 steps, from scratch: the random weights of the run are too large to learn from."""
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    train_classifier(short_recipe(150), texts, folder, init=random_run, from_scratch=True, quiet=True)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> ClassifierModel:
    return ClassifierModel.from_folder(run, compute_dtype="float32")


def text_batch(tokenizer: TextTokenizer, count: int, length: int | None = None) -> TextBatch:
    rows, _ = rows_of(sentences(count, least=1, most=8), tokenizer, 48)
    return batch_of(rows, length or max(len(row.tokens) for row in rows), 1)


@pytest.mark.parametrize("high_level", ["pooled-windows", "vector", "none"])
def test_texts_that_share_a_row_do_not_see_each_other(
    tokenizer: TextTokenizer, high_level: HighLevel
) -> None:
    """What packing computes is what every text would have computed alone, gradient included."""
    network = ThinkingBert(small_config(tokenizer, high_level=high_level), torch.Generator().manual_seed(3))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    batch = text_batch(tokenizer, 30)
    carry = network.fresh_carry(30, batch.inputs.shape[1])
    real = (batch.documents > 0)[:, :, None]
    weights = torch.randn(*batch.inputs.shape, 32, generator=torch.Generator().manual_seed(4))
    for _ in range(3):
        found = {}
        for name, one_round in (
            ("plain", network.round),
            ("packed", lambda c, b: packed_round(network, c, b)),
        ):
            network.zero_grad()
            z_H, z_L = one_round(carry, batch)
            ((z_H + 2 * z_L) * real * weights).sum().backward()  # type: ignore[no-untyped-call]  # torch's
            found[name] = (
                z_H.detach() * real,
                z_L.detach() * real,
                network.low.layers[0].mlp.down_proj.weight.grad.clone(),
            )
        for plain, packed in zip(found["plain"], found["packed"], strict=True):
            torch.testing.assert_close(packed, plain, atol=1e-4 * float(plain.abs().max()), rtol=1e-4)
        # Slots that come in halted start anew, whatever their carry holds.
        carry = Carry(
            z_H=z_H.detach(), z_L=z_L.detach(), steps=carry.steps + 1, halted=torch.arange(30) % 3 == 0
        )


def test_packing_uses_few_rows() -> None:
    lengths = np.array([10, 60, 30, 128, 5, 90, 20])
    row, offset, rows, width = packed_places(lengths)
    assert (rows, width) == (3, 128)
    taken = np.zeros((rows, width), dtype=int)
    for text, size in enumerate(lengths):
        taken[row[text], offset[text] : offset[text] + size] += 1
    assert taken.max() == 1
    assert taken.sum() == lengths.sum()
    assert packed_places(np.array([3, 4]))[2:] == (1, 7)
    assert packed_places(np.array([200, 4]))[2:] == (2, 200)


def test_padding_changes_nothing(tokenizer: TextTokenizer) -> None:
    network = TextClassifier(small_config(tokenizer), 3, generator=torch.Generator().manual_seed(0)).eval()
    short, long = text_batch(tokenizer, 5), text_batch(tokenizer, 5, 48)
    with torch.no_grad():
        for batch in (short, long):
            carry, output = network.segment(network.fresh_carry(5, batch.inputs.shape[1]), batch)
            assert output.logits.shape == (5, 1, 3)
            assert carry.z_L.shape == (5, batch.inputs.shape[1], 32)
            if batch is short:
                before = output
    torch.testing.assert_close(output.logits, before.logits, atol=1e-5, rtol=1e-4)


def test_the_halt_value_does_not_disturb_the_encoder(tokenizer: TextTokenizer) -> None:
    network = TextClassifier(small_config(tokenizer), 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.q_head.weight.fill_(0.1)
    _, output = network.segment(network.fresh_carry(4, 48), text_batch(tokenizer, 4, 48))
    output.q_halt.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    learned = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learned == {"q_head.weight", "q_head.bias"}


def test_every_trained_weight_gets_gradient(tokenizer: TextTokenizer) -> None:
    """A parameter without one would stop a run on several machines."""
    network = TextClassifier(small_config(tokenizer), 3, generator=torch.Generator().manual_seed(0))
    _, output = network.segment(network.fresh_carry(4, 48), text_batch(tokenizer, 4, 48))
    (output.logits.square().sum() + output.q_halt.sum()).backward()  # type: ignore[no-untyped-call]  # torch's
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, name


def test_dropout_depends_on_its_seed_only(tokenizer: TextTokenizer) -> None:
    network = TextClassifier(
        small_config(tokenizer), 3, dropout=0.5, generator=torch.Generator().manual_seed(0)
    ).train()
    batch = text_batch(tokenizer, 6, 48)

    def logits(seed: int) -> torch.Tensor:
        network.draw_dropout_from(seed)
        return network.segment(network.fresh_carry(6, 48), batch)[1].logits

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    network.eval()
    assert torch.equal(logits(1), logits(2))


def test_items_are_functions_of_seed_and_number(tokenizer: TextTokenizer) -> None:
    found = sentences(10)
    examples = ClassifyExamples(LabelledTexts(texts=tuple(found), labels=np.arange(10)), tokenizer, 48)
    epoch = examples.items(np.arange(10), seed=3)
    assert sorted(epoch.labels[:, 0].tolist()) == list(range(10))
    for row, label in zip(epoch.inputs.tolist(), epoch.labels[:, 0].tolist(), strict=True):
        assert tokenizer.decode(row) == found[label]
    again = examples.items(np.array([13, 4]), seed=3, mask_rate=0.5)
    alone = examples.items(np.array([4]), seed=3, mask_rate=0.5)
    assert torch.equal(again.inputs[1], alone.inputs[0])
    masked = again.inputs == tokenizer.mask_id
    plain = examples.items(np.array([13, 4]), seed=3)
    assert torch.equal(torch.where(masked, plain.inputs, again.inputs), plain.inputs)
    text = (plain.inputs > tokenizer.sep_id) & (plain.documents > 0)
    assert 0.25 < float(masked.sum() / text.sum()) < 0.75
    assert not bool((masked & ~text).any()), "the frame and the padding stay"


def test_a_text_longer_than_the_model_is_cut(tokenizer: TextTokenizer) -> None:
    rows, cut = rows_of(["cat", "cat " * 60], tokenizer, 48)
    assert cut == 1
    assert [len(row.tokens) for row in rows][1] == 48
    assert rows[1].tokens[-1] == tokenizer.sep_id


def test_it_learns(run: Path, model: ClassifierModel) -> None:
    """The labels follow one word: a majority guess reaches about two in five."""
    fresh = sentences(200, seed=99, most=7)
    right = [
        answer.label == label_of(text) for text, answer in zip(fresh, model.classify(fresh), strict=True)
    ]
    assert np.mean(right) > 0.8
    validation = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "validation"][-1]
    assert {f"accuracy_step_{n}" for n in (1, 2, 3)} <= set(validation)
    assert validation["accuracy_fixed"] == validation["accuracy_step_3"]
    assert "accuracy_step_2" in (run / "report.md").read_text()


def test_answers(model: ClassifierModel) -> None:
    found = ["the cat is in the house", "a small dog", "Paris is big"]
    answers = model.classify(found)
    assert [answer.text for answer in answers] == found
    for answer in answers:
        assert set(answer.probabilities) == {"cat", "dog", "none"}
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert answer.probability == max(answer.probabilities.values()) == answer.probabilities[answer.label]
    assert {answer.steps for answer in model.classify(found, halt="never", steps=2)} == {2}
    assert model.classify([]) == []
    with pytest.raises(InputError, match="text 2: an empty text"):
        model.classify(["a", " "])
    with pytest.raises(InputError, match="one text"):
        model.classify("a cat")


def test_rounds_seen_at_once_are_those_of_the_slots(model: ClassifierModel) -> None:
    """Validation derives from one pass what halting would do; here it is done."""
    found = sentences(80, seed=5, most=8)
    rows, _ = rows_of(found, model.tokenizer, 48)
    rounds = think_all_rounds(model.network, rows, 3)
    # Between two texts, so that rounding decides nothing.
    middle = float(torch.sigmoid(rounds.q_halt[:, 0].sort().values[39:41].mean()))
    for threshold, confirmations in ((middle, 0), (middle, 1), (0.5, 0)):
        rule = HaltRule(name="q", threshold=threshold, confirmations=confirmations)
        stopped = rounds.halted_at(rule)
        model.halting = dataclasses.replace(model.halting, confirmations=confirmations)
        answers = model.classify(found, threshold=threshold)
        assert [answer.steps - 1 for answer in answers] == stopped.tolist()
        said = [model.labels.index(answer.label) for answer in answers]
        assert said == rounds.classes[np.arange(80), stopped].tolist()
    model.halting = dataclasses.replace(model.halting, confirmations=0)
    assert rounds.halted_at(HaltRule(name="never")).tolist() == [2] * 80


def test_score(model: ClassifierModel, texts: Path, tmp_path: Path) -> None:
    score = model.evaluate(texts, limit=100)
    lines = [line.split("\t") for line in texts.read_text().splitlines()][:100]
    answers = model.classify([text for _, text in lines])
    right = [answer.label == label for answer, (label, _) in zip(answers, lines, strict=True)]
    assert score.n == 100
    assert score.accuracy == pytest.approx(np.mean(right))
    assert score.mean_steps == pytest.approx(np.mean([answer.steps for answer in answers]))
    assert len(score.accuracy_by_steps) == 3
    fixed = model.evaluate(texts, limit=100, halt="never")
    assert fixed.accuracy == pytest.approx(fixed.accuracy_by_steps[-1])
    assert fixed.mean_steps == 3
    assert score.as_json()["exact_accuracy"] == score.accuracy
    shutil.copy(texts, tmp_path / "test.tsv")
    assert model.evaluate(tmp_path, limit=100).accuracy == score.accuracy
    with pytest.raises(InputError, match="neither test nor dev"):
        model.evaluate(tmp_path.parent)
    (tmp_path / "bad.tsv").write_text("mouse\ta text\n")
    with pytest.raises(InputError, match="label 'mouse'"):
        model.evaluate(tmp_path / "bad.tsv")


def test_macro_f1() -> None:
    assert macro_f1(np.array([0, 1, 1]), np.array([0, 1, 1])) == 1
    # Class 0: one hit of one said, two there; class 1: one hit of two said, one there.
    assert macro_f1(np.array([0, 1, 1]), np.array([0, 0, 1])) == pytest.approx(2 / 3)


def test_a_resumed_run_is_the_same_run(texts: Path, random_run: Path, tmp_path: Path) -> None:
    """Stopped after 10 of 20 steps, with dropout, masks and exploration on; the schedule does not depend on the end."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    recipe = short_recipe(20)
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, min_lr_ratio=1.0))
    first = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=10))
    train_classifier(recipe, texts, whole, init=random_run, from_scratch=True, quiet=True)
    train_classifier(first, texts, halves, init=random_run, from_scratch=True, quiet=True)
    train_classifier(recipe, texts, halves, from_scratch=True, resume=True, quiet=True)
    last = [load_file(folder / "checkpoints" / "last" / "model.safetensors") for folder in (whole, halves)]
    for name, tensor in last[0].items():
        assert torch.equal(tensor, last[1][name]), name


def test_pre_trained_weights_are_taken(texts: Path, random_run: Path, tmp_path: Path) -> None:
    recipe = short_recipe(1)
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, learning_rate=0.0))
    train_classifier(recipe, texts, tmp_path / "run", init=random_run, quiet=True)
    trained, pre_trained = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "run", random_run)
    )
    for name, tensor in pre_trained.items():
        assert torch.equal(trained[f"body.{name}"], tensor), name
    assert (tmp_path / "run" / "tokenizer.json").read_text() == (random_run / "tokenizer.json").read_text()


def test_without_a_model_to_start_from(texts: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init RUN"):
        train_classifier(short_recipe(1), texts, tmp_path / "run", quiet=True)
    with pytest.raises(InputError, match="masked-language"):
        train_classifier(short_recipe(1), texts, tmp_path / "run", init=run, quiet=True)


def test_epochs_become_steps() -> None:
    recipe = ClassifyRecipe(epochs=2, batch_size=10, halting=HaltingConfig(max_steps=3)).resolved(100)
    assert (recipe.train.steps, recipe.train.validate_every) == (60, 30)
    by_steps = dataclasses.replace(ClassifyRecipe(), epochs=0)
    assert by_steps.resolved(100) == by_steps


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"epochs": -1}, {"dropout": 1.0}, {"mask_rate": -0.1}, {"dev_share": 0.0}]
)
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ClassifyRecipe(**wrong)  # type: ignore[arg-type]  # that they are wrong is the point


def test_save_and_load_are_bit_equal(model: ClassifierModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    again = ClassifierModel.from_folder(tmp_path / "copy", compute_dtype="float32")
    found = sentences(10)
    assert again.classify(found) == model.classify(found)
    assert again.params == model.params


def test_a_run_without_its_labels(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"task": {"name": "classification"}}))
    with pytest.raises(InputError, match=r"task\.labels"):
        ClassifierModel.from_folder(tmp_path / "run")
