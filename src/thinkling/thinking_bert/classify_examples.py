"""Labelled texts as rows of tokens, ready for the slots.

Shapes: N texts, K items, L positions of the row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import TextBatch
from thinkling.data.sampling import example_of_item, uniforms
from thinkling.data.tokenizer import TextTokenizer
from thinkling.thinking_bert.classify_data import LabelledTexts
from thinkling.thinking_bert.text_stream import TextRow, framed, rounded_length

_MASKING_STREAM = 0x3A5C
"""Keeps the draws of masked tokens apart from those of the data order."""


class ClassifyExamples:
    """Labelled texts, tokenised and padded to one length; longer ones than the model are cut.

    Args:
        data: the texts.
        tokenizer: of the model.
        most_tokens: longest row of the model.
    """

    def __init__(self, data: LabelledTexts, tokenizer: TextTokenizer, most_tokens: int) -> None:
        self.rows, self.cut = rows_of(data.texts, tokenizer, most_tokens)
        self.labels = data.labels
        self.length = rounded_length(max(len(row.tokens) for row in self.rows), most_tokens)
        self._inputs = np.zeros((len(data), self.length), dtype=np.int64)
        for number, row in enumerate(self.rows):
            self._inputs[number, : len(row.tokens)] = row.tokens
        self._mask_id = tokenizer.mask_id
        self._frame = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)

    def __len__(self) -> int:
        return len(self.labels)

    def items(self, items: NDArray[np.int64], seed: int, mask_rate: float = 0.0) -> TextBatch:
        """Training items [K], functions of (seed, item) only: every epoch shows each text once, in its own order.

        Args:
            items: their numbers.
            seed: of order and masks.
            mask_rate: share of the text's tokens that are replaced by `<MASK>`, anew each time.
        """
        chosen = example_of_item(seed, items, len(self))
        inputs = self._inputs[chosen]
        documents = (inputs != self._frame[0]).astype(np.int64)
        if mask_rate:
            masked = uniforms(seed ^ _MASKING_STREAM, items, self.length) < mask_rate
            inputs = np.where(masked & ~np.isin(inputs, self._frame), self._mask_id, inputs)
        labels = torch.from_numpy(self.labels[chosen])[:, None]
        return TextBatch(
            inputs=torch.from_numpy(inputs),
            documents=torch.from_numpy(documents),
            positions=torch.zeros_like(labels),
            labels=labels,
        )


def rows_of(texts: Sequence[str], tokenizer: TextTokenizer, most_tokens: int) -> tuple[list[TextRow], int]:
    """Texts as rows of at most so many tokens, and how many had to be cut."""
    tokens = tokenizer.encode_batch(texts)
    rows = [
        TextRow(
            text=text, tokens=framed(tokenizer, found[: most_tokens - 2]), places=np.zeros(1, dtype=np.int64)
        )
        for text, found in zip(texts, tokens, strict=True)
    ]
    return rows, sum(len(found) > most_tokens - 2 for found in tokens)
