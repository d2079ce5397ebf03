"""Texts as vectors: the state that a Thinking-BERT reaches for each token, and its mean over the text.

Shapes: B batch (slots), L positions of the row, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking_bert.model import ThinkingBert, masked_mean

_FRAME = (TextTokenizer.pad_id, TextTokenizer.cls_id, TextTokenizer.sep_id)


def text_positions(inputs: Tensor) -> Tensor:
    """Where a row holds text and not `<PAD>`, `<CLS>` or `<SEP>`. [B, L] -> [B, L] bool."""
    return ~torch.isin(inputs, torch.tensor(_FRAME, device=inputs.device))


class Embedder:
    """A network that answers with vectors in place of logits.

    Args:
        network: the encoder.
        tokens: one vector for every token, [B, L, D], instead of one for the text, [B, 1, D] of length 1.
    """

    def __init__(self, network: ThinkingBert, *, tokens: bool) -> None:
        self._network = network
        self._tokens = tokens

    def fresh_carry(self, batch_size: int, length: int) -> Carry:
        """A carry of the network."""
        return self._network.fresh_carry(batch_size, length)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round of the network; `logits` are the vectors that it has arrived at."""
        carry, output = self._network.segment(carry, batch)
        vectors = self._network.answer_state(carry.z_H, carry.z_L).float()
        if not self._tokens:
            mean = masked_mean(vectors, text_positions(batch.inputs))
            vectors = torch.nn.functional.normalize(mean, dim=-1).unsqueeze(1)
        return carry, SegmentOutput(logits=vectors, q_halt=output.q_halt, q_continue=output.q_continue)
