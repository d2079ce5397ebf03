"""A Thinking-BERT that says to which class a text belongs. Architecture only.

Its body iterates as in pre-training; after every round a head reads the mean over the text's tokens.

Shapes: B batch (slots), L positions of the row, D width, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.data.batch import TextBatch
from thinkling.nn.casting import Linear, weights_cast_once
from thinkling.nn.init import truncated_normal_
from thinkling.thinking.carry import Carry, SegmentOutput
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.embed import text_positions
from thinkling.thinking_bert.model import HALT_BIAS_AT_START, INIT_STD, ThinkingBert, masked_mean
from thinkling.thinking_bert.packed_round import packed_round


class TextClassifier(nn.Module):
    """The network. `forward` is `segment`: one round for every slot.

    Args:
        config: architecture of the body.
        classes: C.
        dropout: share of the head's features that is set to 0 in training.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        config: ThinkingBertConfig,
        classes: int,
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.body = ThinkingBert(config, generator)
        for unused in (self.body.decoder_bias, *self.body.q_head.parameters()):
            unused.requires_grad_(False)
        self.class_head = Linear(config.hidden_size, classes, bias=True)
        self.q_head = Linear(2 * config.hidden_size + classes, 2, bias=True)
        with torch.no_grad():
            truncated_normal_(self.class_head.weight, INIT_STD, generator)
            self.q_head.weight.zero_()
            assert self.q_head.bias is not None
            self.q_head.bias.fill_(HALT_BIAS_AT_START)
        self._dropout = dropout
        self._noise: torch.Generator | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.body.device

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of matrix products."""
        return self.body.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.body.compute_dtype = dtype

    def draw_dropout_from(self, seed: int) -> None:
        """Let the dropout of the following rounds depend on this seed only."""
        self._noise = torch.Generator(device=self.device).manual_seed(seed)

    def fresh_carry(self, batch_size: int, length: int | None = None) -> Carry:
        """A carry of B slots, all halted, for rows of `length` tokens (None: the longest)."""
        return self.body.fresh_carry(batch_size, length)

    def forward(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One segment; see `segment`."""
        return self.segment(carry, batch)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round of every slot. Halted slots start anew; the new carry is detached.

        Args:
            carry: z_H, z_L [B, L, D].
            batch: inputs, documents [B, L], one text a row; its places are not looked at.

        Returns:
            the new carry, and logits [B, 1, C] with the Q values [B].
        """
        with weights_cast_once(self, self.compute_dtype):
            z_H, z_L = packed_round(self.body, carry, batch)
            text = masked_mean(self.body.answer_state(z_H, z_L), text_positions(batch.inputs))
            features = self.body.head_norm(F.gelu(self.body.head_dense(text)))
            logits = self.class_head(self._dropped(features)).unsqueeze(1)
            q = self._q_values(masked_mean((z_H + z_L).detach(), batch.documents > 0), features, logits)
        after = Carry(
            z_H=z_H.detach(),
            z_L=z_L.detach(),
            steps=torch.where(carry.halted, 0, carry.steps) + 1,
            halted=torch.zeros_like(carry.halted),
        )
        return after, SegmentOutput(logits=logits, q_halt=q[:, 0], q_continue=q[:, 1])

    def _q_values(self, text: Tensor, features: Tensor, logits: Tensor) -> Tensor:
        """[B, 2] fp32. Besides the state it sees how sure the classes are; it does not disturb the encoder."""
        sure = torch.softmax(logits.detach().squeeze(1).float(), -1).sort(-1, descending=True).values
        out: Tensor = self.q_head(torch.cat([text.float(), features.detach().float(), sure], -1))
        return out

    def _dropped(self, features: Tensor) -> Tensor:
        """Dropout (Srivastava et al. 2014) that draws from a generator of its own."""
        if not self.training or not self._dropout:
            return features
        draws = torch.rand(features.shape, generator=self._noise, device=features.device)
        return features * (draws >= self._dropout) / (1 - self._dropout)
