"""How well a language model predicts text it has not seen, in bits per byte: a figure that no tokenizer changes.

Shapes: K rows, L positions of a row, V vocabulary.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.packing import NextTokenPacking
from thinkling.data.text_store import TokenDocuments
from thinkling.data.token_rows import TokenRows
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.linear_cross_entropy import linear_cross_entropy

_TOKENS_AT_A_TIME = 8192
_BITS_PER_BYTE_OF_TEXT = 8


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """How well text is predicted."""

    n: int
    """Rows."""
    tokens: int
    """Tokens that were predicted, the ends of documents among them."""
    bytes: int
    """Bytes of text that these tokens stand for."""
    bits: float
    """What it takes to say which text it is, ends of documents not counted."""
    loss: float
    """Mean cross-entropy of a token, in nats."""
    token_accuracy: float
    """Share of the tokens that were the likeliest one."""
    seconds: float
    """Wall-clock time."""

    @property
    def bits_per_byte(self) -> float:
        """Bits it takes to say a byte of the text; lower is better."""
        return self.bits / max(1, self.bytes)


def evaluate_text(
    network: Decoder,
    documents: TokenDocuments,
    tokenizer: ChatTokenizer,
    *,
    length: int | None = None,
    rows: int = 0,
) -> TextScore:
    """Score a network on documents, packed into rows as in training.

    A document that is longer than a row is cut, and what is behind a cut is predicted without what is before it.

    Args:
        network: the network; it computes in its own dtype.
        documents: tokenised documents.
        tokenizer: whose tokens they are.
        length: L; None: the longest context of the network.
        rows: how many rows, spread over the documents; 0: all.

    Raises:
        InputError: no text, or rows longer than the context.
    """
    length = network.config.max_length if length is None else length
    if length > network.config.max_length:
        raise InputError(
            f"rows of {length} tokens for a model of {network.config.max_length}",
            f"at most {network.config.max_length}",
            "give a smaller length",
        )
    packing = NextTokenPacking(documents, length, bos_id=tokenizer.bos_id, eos_id=tokenizer.eos_id)
    if not len(packing):
        raise InputError("no text to score", "at least one document that is not empty", "add text")
    count = min(rows, len(packing)) if rows else len(packing)
    which = np.linspace(0, len(packing) - 1, count).round().astype(np.int64)
    sizes = token_sizes(tokenizer)
    started = time.perf_counter()
    nats = bits = right = tokens = size = 0.0
    for part in np.array_split(which, -(-count * length // _TOKENS_AT_A_TIME)):
        if not len(part):
            continue
        batch = packing.rows(part)
        losses, hits = token_losses(network, batch)
        asked = batch.labels >= 0
        of_label = np.where(asked, sizes[np.maximum(batch.labels, 0)], 0)
        nats += float(losses.sum())
        bits += float(losses[of_label > 0].sum()) / math.log(2)
        right += float(hits.sum())
        tokens += int(asked.sum())
        size += int(of_label.sum())
    return TextScore(
        n=count,
        tokens=int(tokens),
        bytes=int(size),
        bits=bits,
        loss=nats / tokens,
        token_accuracy=right / tokens,
        seconds=time.perf_counter() - started,
    )


def token_losses(network: Decoder, rows: TokenRows) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The cross-entropy of each label in nats, 0 where there is none, and whether it was the likeliest token.

    Returns:
        [K, L] and [K, L].
    """
    inputs, labels, documents = (
        torch.from_numpy(array).to(network.device) for array in (rows.inputs, rows.labels, rows.documents)
    )
    with torch.no_grad(), weights_cast_once(network, network.compute_dtype):
        hidden = network(inputs, documents)
        _, losses, right = linear_cross_entropy(
            hidden.flatten(0, 1), network.model.embed_tokens.weight, labels.flatten()
        )
    shape = rows.labels.shape
    return losses.double().cpu().numpy().reshape(shape), right.cpu().numpy().reshape(shape)


def token_sizes(tokenizer: ChatTokenizer) -> NDArray[np.int64]:
    """[V] bytes of text that each token stands for; 0 for a special one."""
    return np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)])


def held_out_metrics(scores: dict[str, TextScore]) -> dict[str, float]:
    """What a validation reports of the scores of several corpora, all of them together first.

    "compression_ratio", higher is better, is how many times shorter than the text the best code for it is that the
    model gives.
    """
    size = sum(score.bytes for score in scores.values())
    tokens = sum(score.tokens for score in scores.values())
    bits_per_byte = sum(score.bits for score in scores.values()) / max(1, size)
    together = {
        "bits_per_byte": bits_per_byte,
        "compression_ratio": _BITS_PER_BYTE_OF_TEXT / max(bits_per_byte, 1e-9),
        "loss": sum(score.loss * score.tokens for score in scores.values()) / max(1, tokens),
        "token_accuracy": sum(score.token_accuracy * score.tokens for score in scores.values())
        / max(1, tokens),
    }
    if len(scores) < 2:
        return together
    return together | {f"bits_per_byte_{name}": score.bits_per_byte for name, score in scores.items()}
