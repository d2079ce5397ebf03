"""Thinking-BERT: ModernBERT's layers (Warner et al. 2024, arXiv 2412.13663) in HRM's recurrence.

One segment is one round: the low-level module iterates over the tokens, its means are handed to the high-level module,
whose new state is given back to every token. Architecture only: no optimiser, no loss, no file.

Shapes: B batch (slots), L positions of the row, P places to be predicted, G groups of tokens with one high-level
vector, D width, E head size, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.data.batch import TextBatch
from thinkling.errors import InputError
from thinkling.nn.attention import attention_bias
from thinkling.nn.block import PreNormBlock
from thinkling.nn.casting import Embedding, Linear, weights_cast_once
from thinkling.nn.init import truncated_normal_
from thinkling.nn.norm import LayerNorm
from thinkling.nn.rope import rope_tables
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.cycles import run_cycles
from thinkling.thinking_bert.config import ThinkingBertConfig

INIT_STD = 0.02
"""Deviation of initial weights; of those that write into the residual stream it is divided by sqrt(2 * layers)."""
HALT_BIAS_AT_START = -2.0
"""Initial bias of both Q values: no token is right yet."""

Rotary = tuple[Tensor, Tensor]


class Level(nn.Module):
    """Pre-norm blocks and a norm; every `global_every`th block sees the whole text. [B, S, D] -> [B, S, D].

    With `normed` what comes in has just been normed, and the first block does not do so again.
    """

    def __init__(
        self, config: ThinkingBertConfig, layers: int, *, global_every: int, normed: bool = False
    ) -> None:
        super().__init__()
        self.global_every = global_every
        self.layers = nn.ModuleList(
            PreNormBlock(
                width=config.hidden_size,
                heads=config.num_heads,
                inner=config.inner_size,
                activation=config.activation,
                norm_eps=config.norm_eps,
                first=normed and index == 0,
            )
            for index in range(layers)
        )
        self.final_norm = LayerNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, whole: Reach, local: Reach) -> Tensor:
        for index, layer in enumerate(self.layers):
            reach = local if index % self.global_every else whole
            x = layer(x, reach.rotary, reach.bias)
        out: Tensor = self.final_norm(x)
        return out


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a layer may look at, and how it tells positions apart."""

    rotary: Rotary
    """Rotary tables, each [S, E]."""
    bias: Tensor | None
    """[B, 1, S, S] 0 or minus infinity; None where everything may be looked at."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Which tokens share a high-level vector."""

    members: Tensor
    """[B, G, L] 1 where the token belongs to the group, in the compute dtype."""
    mean: Tensor
    """[B, G, L] the same divided by the size of the group: `mean @ z` is the mean over each group."""
    reach: Reach
    """What a group may look at: the groups of its own piece of text."""


class ThinkingBert(nn.Module):
    """The network. `forward` is `segment`: one round for every slot.

    Args:
        config: the architecture.
        generator: source of the initial weights.
    """

    def __init__(self, config: ThinkingBertConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        width = config.hidden_size
        self.tok_embeddings = Embedding(config.vocab_size, width)
        self.embedding_norm = LayerNorm(width, config.norm_eps)
        self.low = Level(config, config.low_layers, global_every=config.global_every, normed=True)
        self.high = None if config.high_level == "none" else Level(config, config.high_layers, global_every=1)
        self.head_dense = Linear(width, width)
        self.head_norm = LayerNorm(width, config.norm_eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.q_head = Linear(2 * width, 2, bias=True)
        self._draw(generator)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator | None) -> None:
        for name, module in self.named_modules():
            if isinstance(module, Linear | Embedding):
                std = INIT_STD
                if name.endswith(("o_proj", "down_proj")):
                    layers = self.config.high_layers if name.startswith("high") else self.config.low_layers
                    std /= math.sqrt(2 * layers)
                truncated_normal_(module.weight, std, generator)
        self.q_head.weight.zero_()
        assert self.q_head.bias is not None
        self.q_head.bias.fill_(HALT_BIAS_AT_START)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tok_embeddings.weight.device

    def fresh_carry(self, batch_size: int, length: int | None = None) -> Carry:
        """A carry of B slots, all halted, for rows of `length` tokens (None: the longest)."""
        positions = length or self.config.max_length
        return fresh_carry(
            batch_size, positions, self.config.hidden_size, dtype=self.compute_dtype, device=self.device
        )

    def forward(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One segment; see `segment`."""
        return self.segment(carry, batch)

    def segment(self, carry: Carry, batch: TextBatch) -> tuple[Carry, SegmentOutput]:
        """One round of every slot. Halted slots start anew; the new carry is detached.

        Args:
            carry: z_L [B, L, D], z_H [B, L, D] (each token holds the vector of its group).
            batch: inputs, documents [B, L], positions [B, P].

        Returns:
            the new carry, and logits [B, P, V] of the places to be predicted with the Q values [B].

        Raises:
            InputError: the row is longer than the model.
        """
        self._check(batch)
        with weights_cast_once(self, self.compute_dtype):
            state_H, state_L = self.round(carry, batch)
            places = at_positions(self.answer_state(state_H, state_L), batch.positions)
            features = self.head_norm(F.gelu(self.head_dense(places)))
            logits = F.linear(
                features,
                self.tok_embeddings.cast_weight(features.dtype),
                self.decoder_bias.to(features.dtype),
            )
            q = self._q_values(state_H + state_L, features, batch)
        after = Carry(
            z_H=state_H.detach(),
            z_L=state_L.detach(),
            steps=torch.where(carry.halted, 0, carry.steps) + 1,
            halted=torch.zeros_like(carry.halted),
        )
        return after, SegmentOutput(logits=logits, q_halt=q[:, 0], q_continue=q[:, 1])

    def round(self, carry: Carry, batch: TextBatch) -> tuple[Tensor, Tensor]:
        """The recurrence of one segment alone: (z_H, z_L), each [B, L, D], with gradient."""
        going_on = (~carry.halted).to(self.compute_dtype)[:, None, None]
        x = self.embedding_norm(self.tok_embeddings(batch.inputs, self.compute_dtype))
        whole, local = self._reaches(batch.documents)
        grouping = None if self.high is None else self._grouping(batch.documents)

        def low(z_L: Tensor, injection: Tensor) -> Tensor:
            out: Tensor = self.low(z_L + injection, whole, local)
            return out

        def high(z_H: Tensor, z_L: Tensor) -> Tensor:
            if self.high is None or grouping is None:
                return z_H
            state = grouping.mean @ (z_H + z_L)
            new: Tensor = self.high(state, grouping.reach, grouping.reach)
            return grouping.members.transpose(1, 2) @ new

        return run_cycles(
            carry.z_H * going_on,
            carry.z_L * going_on,
            x,
            low=low,
            high=high,
            H_cycles=1,
            L_cycles=self.config.L_cycles,
            gradient="last_cycle",
        )

    def answer_state(self, z_H: Tensor, z_L: Tensor) -> Tensor:
        """What the heads read of every token, [B, L, D]: its own state and, where there is one, that of its group."""
        return z_L if self.high is None else z_H + z_L

    def _q_values(self, state: Tensor, features: Tensor, batch: TextBatch) -> Tensor:
        """[B, 2] fp32 from the means over the text and over what is predicted; they do not disturb the encoder."""
        text = masked_mean(state.detach(), batch.documents > 0)
        guess = masked_mean(features.detach(), batch.positions >= 0)
        out: Tensor = self.q_head(torch.cat([text, guess], -1).float())
        return out

    def _reaches(self, documents: Tensor) -> tuple[Reach, Reach]:
        """Whole text and local window. Padding looks at padding: nothing reads it, and a softmax needs something."""
        config = self.config
        place = torch.arange(documents.shape[1], device=documents.device)
        together = documents[:, :, None] == documents[:, None, :]
        near = (place[:, None] - place[None, :]).abs() <= config.local_attention // 2
        head = config.hidden_size // config.num_heads
        whole, local = (
            Reach(
                rotary=self._tables(place, head, base),
                bias=None if bool(allowed.all()) else attention_bias(allowed, self.compute_dtype),
            )
            for base, allowed in (
                (config.global_rope_base, together),
                (config.local_rope_base, together & near),
            )
        )
        return whole, local

    def _grouping(self, documents: Tensor) -> Grouping:
        group = groups_of(documents, 0 if self.config.high_level == "vector" else self.config.pooling_window)
        count = int(group.max()) + 1
        numbers = torch.arange(count, device=group.device)
        members = group[:, None, :] == numbers[None, :, None]
        sizes = members.sum(-1, keepdim=True).clamp(min=1)
        # The piece that a group belongs to; 0 for the groups that a row does not have.
        piece = (members * documents[:, None, :]).amax(-1)
        allowed = piece[:, :, None] == piece[:, None, :]
        head = self.config.hidden_size // self.config.num_heads
        belongs = members.to(self.compute_dtype)
        return Grouping(
            members=belongs,
            mean=belongs / sizes,
            reach=Reach(
                rotary=self._tables(numbers, head, self.config.global_rope_base),
                bias=None if bool(allowed.all()) else attention_bias(allowed, self.compute_dtype),
            ),
        )

    def _tables(self, place: Tensor, head: int, base: float) -> Rotary:
        cos, sin = rope_tables(place.cpu(), head, base)
        return cos.to(self.device, self.compute_dtype), sin.to(self.device, self.compute_dtype)

    def _check(self, batch: TextBatch) -> None:
        length = batch.inputs.shape[1]
        if length > self.config.max_length:
            raise InputError(
                f"a row of {length} tokens", f"at most {self.config.max_length}", "shorten or cut the text"
            )


def groups_of(documents: Tensor, window: int) -> Tensor:
    """The group of every token, numbered along the row; -1 at padding. [B, L] -> [B, L].

    Args:
        documents: 0 at padding, else the number of the piece.
        window: tokens of a piece that form a group; 0: the whole piece.
    """
    length = documents.shape[1]
    place = torch.arange(length, device=documents.device).expand_as(documents)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    if window:
        first = torch.cummax(torch.where(starts, place, 0), dim=1).values
        starts = starts | ((place - first) % window == 0)
    real = documents > 0
    return torch.where(real, (starts & real).cumsum(1) - 1, -1)


def at_positions(state: Tensor, positions: Tensor) -> Tensor:
    """The states at given places; those of place 0 where the place is -1. [B, L, D], [B, P] -> [B, P, D]."""
    index = positions.clamp(min=0).unsqueeze(-1).expand(-1, -1, state.shape[-1])
    return state.gather(1, index)


def masked_mean(state: Tensor, counted: Tensor) -> Tensor:
    """Mean over the positions that count, 0 where there are none. [B, S, D], [B, S] bool -> [B, D]."""
    weight = counted.to(state.dtype)
    total = (weight.unsqueeze(1) @ state).squeeze(1)
    return total / weight.sum(-1, keepdim=True).clamp(min=1)
