"""Rows of text with masked places: which row comes when, at which length, and which rows are scored.

Shapes: K rows, L positions of a row, P places to be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import TextBatch
from thinkling.data.masking import MaskingConfig, mask_tokens
from thinkling.data.packing import Packing
from thinkling.data.sampling import example_of_item
from thinkling.data.text_store import TokenDocuments
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError

SCORED_MASK_RATE = 0.15
"""Share of the tokens that is masked for scoring, whatever the training rate."""

_MASKING_STREAM = 0x3A5C
"""Keeps the draws of masking apart from the order of the rows."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of training with rows of one length."""

    length: int
    """Tokens of a row."""
    batch_size: int
    """Rows over all processes."""
    share: float
    """Share of the training steps."""


def check_stages(stages: tuple[Stage, ...]) -> None:
    """Refuses a curriculum that cannot work.

    Raises:
        InputError: no stage, lengths that do not grow, a size below 1, shares that do not add up to 1.
    """
    if not stages:
        raise InputError("a curriculum without stages", "one or more", "set stages")
    for stage in stages:
        if stage.length < 8 or stage.batch_size < 1 or stage.share <= 0:
            raise InputError(
                f"a stage of length {stage.length}, batch size {stage.batch_size}, share {stage.share}",
                "a length of at least 8, a batch size of at least 1, a share above 0",
                "change the stage",
            )
    lengths = [stage.length for stage in stages]
    if sorted(set(lengths)) != lengths:
        raise InputError(f"stages of length {lengths}", "lengths that grow", "order the stages")
    total = sum(stage.share for stage in stages)
    if abs(total - 1) > 1e-6:
        raise InputError(f"shares that add up to {total:g}", "1", "change the shares of the stages")


def for_scoring(rate: float = SCORED_MASK_RATE, *, whole_words: bool = False) -> MaskingConfig:
    """Masking of rows that are scored: every chosen place is masked, none shows its own or another token.

    In training a tenth of the places keeps its token. Scored, such a place would be a question with its answer, and
    any model would look six points better than it is at filling masks.
    """
    return MaskingConfig(rate=rate, whole_words=whole_words, mask_share=1.0, random_share=0.0)


class MaskedRows:
    """Rows of one length over a part of a corpus.

    Args:
        documents: the part of the corpus.
        tokenizer: whose tokens they are.
        length: tokens of a row.
        masking: how many places are masked, and how.
    """

    def __init__(
        self, documents: TokenDocuments, tokenizer: TextTokenizer, length: int, masking: MaskingConfig
    ) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.masking = masking
        self.packing = Packing(documents, length)

    def __len__(self) -> int:
        return len(self.packing)

    def items(self, items: NDArray[np.int64], seed: int) -> TextBatch:
        """Training rows [K]: every epoch in an order of its own with masks of its own; by (seed, item) only."""
        return self._masked(example_of_item(seed, items, len(self)), items, seed)

    def scored(self, count: int, seed: int) -> TextBatch:
        """The rows to score a model on, `count` at most, spread over the corpus; the same ones for every model."""
        count = min(count, len(self))
        which = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        return self._masked(which, which, seed)

    def one_masked_at_a_time(self, row: int) -> TextBatch:
        """A row as often as it has tokens, each time with another one masked: for the pseudo-perplexity."""
        tokens, documents = self.packing.rows(np.array([row]))
        special = np.isin(tokens[0], [self.tokenizer.cls_id, self.tokenizer.sep_id])
        places = np.flatnonzero((documents[0] > 0) & ~special)
        inputs = np.repeat(tokens, len(places), axis=0)
        inputs[np.arange(len(places)), places] = self.tokenizer.mask_id
        return _batch(
            inputs,
            np.repeat(documents, len(places), axis=0),
            places[:, None],
            tokens[0][places][:, None],
        )

    def _masked(self, which: NDArray[np.int64], items: NDArray[np.int64], seed: int) -> TextBatch:
        tokens, documents = self.packing.rows(which)
        inputs, positions, labels = mask_tokens(
            tokens, documents, items, seed ^ _MASKING_STREAM, self.masking, self.tokenizer
        )
        return _batch(inputs, documents, positions, labels)


def _batch(
    inputs: NDArray[np.integer],
    documents: NDArray[np.integer],
    positions: NDArray[np.integer],
    labels: NDArray[np.integer],
) -> TextBatch:
    parts = (torch.from_numpy(array.astype(np.int64)) for array in (inputs, documents, positions, labels))
    return TextBatch(**dict(zip(("inputs", "documents", "positions", "labels"), parts, strict=True)))
