"""A Thinking-BERT as a user holds it: fill, encode, load, save, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_encoder import sentences

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import SPECIALS, TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking_bert.embed import text_positions
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.fill_mask import masked_row
from thinkling.thinking_bert.text_stream import IN_WORK, batch_of

TEXT = "the cat is <mask> on the <mask>."


@pytest.fixture(scope="module")
def model(random_run: Path) -> EncoderModel:
    return EncoderModel.from_folder(random_run, compute_dtype="float32")


def masked_texts(count: int) -> list[str]:
    """Texts of several lengths, with one to three masks."""
    return [
        f"{text}{' <mask>' * (1 + number % 3)} near" for number, text in enumerate(sentences(count, most=7))
    ]


def test_each_mask_has_its_candidates(model: EncoderModel) -> None:
    filled = model.fill(TEXT, top_k=3)
    assert [len(mask.candidates) for mask in filled.masks] == [3, 3]
    row = masked_row(TEXT, model.tokenizer, 48)
    assert [mask.position for mask in filled.masks] == np.flatnonzero(
        row.tokens == model.tokenizer.mask_id
    ).tolist()
    for mask in filled.masks:
        probabilities = [candidate.probability for candidate in mask.candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert all(0 < probability < 1 for probability in probabilities)
        assert mask.steps == filled.steps
    best = [mask.candidates[0].token for mask in filled.masks]
    if all("<0x" not in token for token in best):
        assert filled.text == f"the cat is{best[0]} on the{best[1]}."
    assert set(filled.as_json()) == {"masks", "text", "steps", "q_halt", "trace"}


def test_probabilities_are_the_networks(model: EncoderModel) -> None:
    """Computed here round by round, without slots; special tokens are no candidates."""
    filled = model.fill(TEXT, halt="never", steps=3, top_k=model.tokenizer.vocab_size)
    row = masked_row(TEXT, model.tokenizer, 48)
    batch = batch_of([row], len(row.tokens), 2)
    carry = model.network.fresh_carry(1, len(row.tokens))
    with torch.no_grad():
        for _ in range(3):
            carry, output = model.network.segment(carry, batch)
    shares = torch.softmax(output.logits[0, :, len(SPECIALS) :], -1).sort(-1, descending=True).values
    for number, mask in enumerate(filled.masks):
        assert len(mask.candidates) == model.tokenizer.vocab_size - len(SPECIALS)
        assert not {candidate.token for candidate in mask.candidates} & set(SPECIALS)
        found = [candidate.probability for candidate in mask.candidates]
        assert found == pytest.approx(shares[number].tolist(), abs=1e-5)
    assert filled.q_halt == pytest.approx(float(torch.sigmoid(output.q_halt[0])), abs=1e-5)


def test_the_trace_ends_in_the_answer(model: EncoderModel) -> None:
    filled = model.fill(TEXT, halt="never")
    assert len(filled.trace) == filled.steps == 4
    last = filled.trace[-1]
    assert [guess.token for guess in last.guesses] == [mask.candidates[0].token for mask in filled.masks]
    assert last.guesses[0].probability == pytest.approx(filled.masks[0].candidates[0].probability, abs=1e-5)
    assert last.q_halt == filled.q_halt


def test_the_three_ways_to_write_a_mask(model: EncoderModel) -> None:
    answers = [model.fill(f"the cat is {mask}.") for mask in ("<mask>", "<MASK>", "[MASK]")]
    assert answers[0].masks == answers[1].masks == answers[2].masks


def test_a_stream_is_answered_in_order_as_one_by_one(model: EncoderModel) -> None:
    texts = masked_texts(60)
    together = list(model.fill_many(texts, trace=True))
    assert [filled.question for filled in together] == texts
    assert {filled.steps for filled in together} > {4}, "some texts halt early"
    for text, filled in zip(texts, together, strict=True):
        alone = model.fill(text)
        assert (alone.steps, alone.text) == (filled.steps, filled.text)
        assert alone.masks[0].candidates[0].probability == pytest.approx(
            filled.masks[0].candidates[0].probability, abs=1e-4
        )


def test_a_stream_is_not_read_ahead_of_its_answers(model: EncoderModel) -> None:
    """Memory must not grow with the number of texts."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "a <mask>"

    answers = model.fill_many(endless(), steps=1)
    for _ in range(3):
        next(answers)
    assert read <= IN_WORK


def test_halting(model: EncoderModel) -> None:
    texts = masked_texts(40)
    q_halts = [filled.trace[0].q_halt for filled in model.fill_many(texts, trace=True)]
    middle = float(np.median(q_halts))
    steps = [filled.steps for filled in model.fill_many(texts, threshold=middle)]
    assert [s == 1 for s in steps] == [q > middle for q in q_halts]
    assert {filled.steps for filled in model.fill_many(texts, halt="never", steps=2)} == {2}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty text"),
        (" \n", "empty text"),
        ("the cat is here", "without <mask>"),
        ("cat " * 60 + "<mask>", r"tokens.*at most 46 tokens"),
        ("\ud800 <mask>", "surrogate"),
    ],
)
def test_bad_texts_are_refused(model: EncoderModel, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        model.fill(text)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"top_k": 0}, "top_k 0"),
        ({"steps": 0}, "steps 0"),
        ({"threshold": 1.0}, "threshold"),
        ({"halt": "valid"}, "q, never"),
    ],
)
def test_bad_settings_are_refused(model: EncoderModel, settings: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        model.fill(TEXT, **settings)  # type: ignore[arg-type]  # that they are wrong is the point


def test_a_bad_text_in_a_stream_is_named_after_the_good_ones(model: EncoderModel) -> None:
    answers = model.fill_many(["a <mask>", "the <mask>", "no mask here", "a <mask>"])
    assert [next(answers).question, next(answers).question] == ["a <mask>", "the <mask>"]
    with pytest.raises(InputError, match="text 3: a text without <mask>"):
        next(answers)


def test_a_text_as_long_as_the_model_fits(model: EncoderModel) -> None:
    text = "<mask>"
    while len(model.tokenizer.encode(f"a {text}", masks=True)) <= 46:
        text = f"a {text}"
    assert len(model.fill(text).masks) == 1


def test_sentence_vectors_are_the_mean_of_token_vectors(model: EncoderModel) -> None:
    texts = [*sentences(30, most=8), "a"]
    vectors, tokens = model.encode(texts), model.encode_tokens(texts)
    assert vectors.shape == (31, 32)
    assert vectors.dtype == np.float32
    for text, vector, of_tokens in zip(texts, vectors, tokens, strict=True):
        assert len(of_tokens) == len(model.tokenizer.encode(text))
        mean = of_tokens.mean(0)
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(31), abs=1e-5)
    assert vectors[3] == pytest.approx(model.encode([texts[3]])[0], abs=1e-5)


def test_encoding_nothing_and_nonsense(model: EncoderModel) -> None:
    assert model.encode([]).shape == (0, 32)
    assert model.encode_tokens([]) == []
    with pytest.raises(InputError, match="text 2: an empty text"):
        model.encode(["a", ""])
    with pytest.raises(InputError, match=r"text 1: .*at most 46 tokens"):
        model.encode(["cat " * 60])


def test_in_a_text_that_is_data_a_mask_is_no_mask(model: EncoderModel) -> None:
    """Someone's document may speak of <mask>; only `fill` reads it as one."""
    assert len(model.encode_tokens(["<mask>"])[0]) > 1


def test_positions_of_text(tokenizer: TextTokenizer) -> None:
    row = masked_row("a <mask>", tokenizer, 48)
    batch: TextBatch = batch_of([row], 8, 1)
    assert text_positions(batch.inputs)[0].tolist() == [False, True, True, *[False] * 5]


def test_save_and_load_are_bit_equal(model: EncoderModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    again = EncoderModel.from_folder(tmp_path / "copy", compute_dtype="float32")
    assert again.fill(TEXT) == model.fill(TEXT)
    assert again.halting == model.halting
    assert again.params == model.params == sum(p.numel() for p in model.network.parameters())


def test_a_checkpoint_finds_the_tokenizer_of_its_run(random_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(random_run, run / "checkpoints" / "best")
    (run / "checkpoints" / "best" / "tokenizer.json").rename(run / "tokenizer.json")
    for place in (run, run / "checkpoints" / "best"):
        EncoderModel.from_folder(place)
    (run / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json is missing"):
        EncoderModel.from_folder(run)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"product": "puzzles"}, "Thinking-BERT run"),
        ({"architecture": "hrm"}, "thinking_bert"),
        ({"model": {"hiden_size": 3}}, "hidden_size"),
        ({"model": 3}, "an object"),
        ({"halting": {"max_stepz": 3}}, "max_steps"),
        ({"task": {"name": "classification"}}, "masked-language"),
    ],
)
def test_nonsense_in_config(random_run: Path, tmp_path: Path, changes: dict[str, object], named: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(random_run, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InputError, match=named):
        EncoderModel.from_folder(run)


def test_a_tokenizer_of_another_size_is_refused(random_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(random_run, run)
    other = TextTokenizer.train(sentences(50), 270)
    other.save(run / "tokenizer.json")
    with pytest.raises(InputError, match=f"a tokenizer of {other.vocab_size} tokens"):
        EncoderModel.from_folder(run)
