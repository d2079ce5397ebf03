"""Scoring: shares with intervals, halting against all rounds, pseudo-perplexity."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_encoder import sentences

from thinkling.data.masking import MaskingConfig
from thinkling.data.text_store import TextStore, write_text_store
from thinkling.thinking.halting import HaltRule
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.evaluate import (
    Share,
    answered,
    evaluate,
    halting_curve,
    pseudo_perplexity,
    round_by_round,
)
from thinkling.thinking_bert.rows import MaskedRows


@pytest.fixture(scope="module")
def model(random_run: Path) -> EncoderModel:
    return EncoderModel.from_folder(random_run, device="cpu", compute_dtype="float32")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, model: EncoderModel) -> MaskedRows:
    store: TextStore = write_text_store(
        lambda: sentences(200, seed=4),
        tmp_path_factory.mktemp("corpus") / "store",
        vocab_size=300,
        tokenizer=model.tokenizer,
    )
    return MaskedRows(store.train, store.tokenizer, 32, MaskingConfig(rate=0.2))


def test_share_and_its_interval():
    """Equal rows: no spread. One row in two all right, of 100 rows: 0.5 +- 1.96 * 0.5 / sqrt(99)."""
    even = Share.of(np.full(50, 3), np.full(50, 4))
    assert (even.value, even.low, even.high) == (0.75, 0.75, 0.75)
    split = Share.of(np.tile([0, 5], 50), np.full(100, 5))
    assert split.value == 0.5
    assert math.isclose(split.high - split.low, 2 * 1.96 * 0.5 / math.sqrt(99), rel_tol=1e-9)


def test_interval_covers_what_it_should():
    """95 % intervals of shares of clustered draws hold the true share in about 95 of 100 repetitions."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        counted = draw.integers(5, 25, 60)
        chances = draw.beta(2, 2, 60)
        share = Share.of(draw.binomial(counted, chances), counted)
        held += share.low <= 0.5 <= share.high
    assert 0.91 < held / 400 < 0.98


def test_halting_agrees_with_round_by_round(model: EncoderModel, source: MaskedRows):
    """A row that halts after round k is answered as when all rows go on and are looked at after round k."""
    rows = source.scored(24, 1)
    rule = HaltRule.of("q", model.halting)
    right, spent, promised, _ = answered(model.network, rows, rule, max_steps=4, slots=5)
    free = round_by_round(model.network, rows, steps=4, size=7)
    assert 1 < spent.mean() < 4, "some rows halt early and some do not"
    for row, step in enumerate(spent):
        assert right[row] == free.right[row, step - 1]
        assert math.isclose(
            promised[row], 1 / (1 + math.exp(-free.q_halt[row, step - 1])), rel_tol=1e-4, abs_tol=1e-5
        )
        willing = free.q_halt[row] > 0
        assert step == (int(np.argmax(willing)) + 1 if willing.any() else 4)


def test_halting_curve_is_what_halting_does(model: EncoderModel, source: MaskedRows):
    """Each point of the curve equals a run of the slots with that threshold."""
    rows = source.scored(24, 1)
    free = round_by_round(model.network, rows, steps=4)
    thresholds = (0.2, 0.45, 0.5, 0.55, 0.8)
    points = halting_curve(free, model.halting, thresholds)
    assert points[0].mean_steps < points[-1].mean_steps, "the thresholds make a difference"
    for point, threshold in zip(points, thresholds, strict=True):
        score = evaluate(model.network, rows, replace(model.halting, threshold=threshold), halt="q")
        assert math.isclose(point.mean_steps, score.mean_steps)
        assert math.isclose(point.masked_accuracy, score.masked_accuracy)


def test_score_adds_up(model: EncoderModel, source: MaskedRows):
    rows = source.scored(30, 1)
    fixed = evaluate(model.network, rows, model.halting, halt="never")
    assert fixed.n == 30
    assert fixed.masked_tokens == int((rows.labels >= 0).sum())
    assert fixed.mean_steps == model.halting.max_steps == len(fixed.accuracy_by_step)
    assert math.isclose(fixed.masked_accuracy, fixed.accuracy_by_step[-1])
    low, high = fixed.masked_accuracy_interval
    assert low < fixed.masked_accuracy < high
    assert fixed.masked_perplexity == fixed.perplexity_by_step[-1] > 1
    halted = evaluate(model.network, rows, replace(model.halting, threshold=0.1), halt="q")
    assert halted.mean_steps < fixed.mean_steps


def test_scored_rows_are_the_same_for_every_model(source: MaskedRows):
    first, second = source.scored(10, 3), source.scored(10, 3)
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.inputs, source.scored(10, 4).inputs)
    assert len(source.scored(10**6, 3).inputs) == len(source)


def test_pseudo_perplexity_is_that_of_single_masks(model: EncoderModel, source: MaskedRows):
    """One row by hand: every token masked alone, the mean of the losses, its exponential."""
    copies = source.one_masked_at_a_time(0)
    losses = []
    for place in range(len(copies.labels)):
        one = copies.select(torch.tensor([place]))
        carry = model.network.fresh_carry(1, 32)
        with torch.no_grad():
            for _ in range(2):
                carry, output = model.network.segment(carry, one)
        losses.append(-torch.log_softmax(output.logits[0, 0], -1)[one.labels[0, 0]].item())
    found = pseudo_perplexity(model.network, source, steps=2, count=1, size=5)
    assert len(found) == 2
    assert math.isclose(found[1], math.exp(np.mean(losses)), rel_tol=1e-4)
