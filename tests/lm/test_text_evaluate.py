"""Bits per byte, and the small tasks beside them."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))

from small_pretrain import WORDS, short_recipe, stories

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.packing import NextTokenPacking
from thinkling.data.text_store import TokenDocuments
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.lm.objective import next_token_loss
from thinkling.lm.text_evaluate import evaluate_text, held_out_metrics
from thinkling.lm.text_tasks import continuation_accuracy, problem_accuracy, samples


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer.train([*stories(200), "Question: what is 1 + 1? Answer: 2"], 330)


@pytest.fixture(scope="module")
def network(tokenizer: ChatTokenizer) -> Decoder:
    config = dataclasses.replace(short_recipe().model, vocab_size=tokenizer.vocab_size)
    return Decoder(config, torch.Generator().manual_seed(0)).eval()


def documents_of(tokenizer: ChatTokenizer, texts: list[str]) -> TokenDocuments:
    encoded = tokenizer.encode_batch(texts)
    starts = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    tokens = np.array([token for ids in encoded for token in ids], dtype=np.uint16)
    return TokenDocuments(tokens=tokens, starts=starts)


def test_bits_per_byte_by_hand(tokenizer: ChatTokenizer, network: Decoder) -> None:
    """Each text alone through the network: its tokens' losses in bits over its bytes, its end not counted."""
    texts = stories(7, seed=4)
    score = evaluate_text(network, documents_of(tokenizer, texts), tokenizer, length=128)
    bits = nats = tokens = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id])
        with torch.no_grad():
            logits = network.logits(network(ids[None, :-1]))[0].float()
        losses = F.cross_entropy(logits, ids[1:], reduction="none")
        bits += float(losses[:-1].sum()) / math.log(2)
        nats += float(losses.sum())
        tokens += len(losses)
    assert score.bytes == sum(len(text.encode()) for text in texts)
    assert score.tokens == tokens
    assert score.bits_per_byte == pytest.approx(bits / score.bytes, rel=1e-5)
    assert score.loss == pytest.approx(nats / tokens, rel=1e-5)
    metrics = held_out_metrics({"a": score, "b": score})
    assert metrics["bits_per_byte"] == pytest.approx(score.bits_per_byte)
    assert metrics["bits_per_byte_b"] == score.bits_per_byte
    assert metrics["compression_ratio"] == pytest.approx(8 / score.bits_per_byte)


def test_some_rows_stand_for_all(tokenizer: ChatTokenizer, network: Decoder) -> None:
    documents = documents_of(tokenizer, stories(60))
    whole = evaluate_text(network, documents, tokenizer, length=64)
    some = evaluate_text(network, documents, tokenizer, length=64, rows=5)
    assert some.n == 5 < whole.n
    assert some.bits_per_byte == pytest.approx(whole.bits_per_byte, rel=0.1)


def test_what_cannot_be_scored(tokenizer: ChatTokenizer, network: Decoder) -> None:
    with pytest.raises(InputError, match="no text to score"):
        evaluate_text(network, documents_of(tokenizer, []), tokenizer)
    with pytest.raises(InputError, match="rows of 1000 tokens for a model of 128"):
        evaluate_text(network, documents_of(tokenizer, stories(2)), tokenizer, length=1000)


def test_true_continuations_are_recognised(tokenizer: ChatTokenizer, network: Decoder) -> None:
    """A network that knows nothing is right by chance; one that has learned the order of the words nearly always."""
    texts = [" ".join(np.roll(WORDS, number).tolist() * 4) for number in range(40)]
    documents = documents_of(tokenizer, texts)
    found = continuation_accuracy(network, documents, tokenizer)
    assert found is not None
    assert 0.05 < found < 0.6
    better = continuation_accuracy(_trained(network, documents, tokenizer), documents, tokenizer)
    assert better is not None
    assert better > 0.9
    assert continuation_accuracy(network, documents_of(tokenizer, texts[:3]), tokenizer) is None


def _trained(network: Decoder, documents: TokenDocuments, tokenizer: ChatTokenizer) -> Decoder:
    trained = Decoder(network.config, torch.Generator().manual_seed(1))
    packing = NextTokenPacking(documents, 64, bos_id=tokenizer.bos_id, eos_id=tokenizer.eos_id)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    draws = np.random.default_rng(0)
    for _ in range(60):
        loss = next_token_loss(trained, trained, packing.rows(draws.integers(0, len(packing), 16)))
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
    return trained.eval()


def test_problems_and_samples(tokenizer: ChatTokenizer, network: Decoder) -> None:
    """Random weights answer nothing; samples begin with their prompts and are the same each time."""
    assert problem_accuracy(network, tokenizer, ("sum", "compare")) < 0.2
    with pytest.raises(InputError, match="task 'sums'"):
        problem_accuracy(network, tokenizer, ("sums",))
    prompts = ("", "red blue", "red blue")
    first = samples(network, tokenizer, prompts, tokens=6, temperature=1.0)
    assert first == samples(network, tokenizer, prompts, tokens=6, temperature=1.0)
    assert all(text.startswith(prompt) for text, prompt in zip(first, prompts, strict=True))
    assert first[1] != first[2]
