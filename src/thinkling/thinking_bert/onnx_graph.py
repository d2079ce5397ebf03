"""One round of a Thinking-BERT as an ONNX graph; who halts is decided outside of it.

The graph is the network's own layers with its own weights. Only what a tracer cannot follow is written anew here: the
masks, which the network leaves out where they allow everything, and the attention, which has a path of its own for
short rows on a CPU.

Shapes: B batch, L positions of the row, P places to be predicted, G groups of tokens with one high-level vector,
D width, E head size, V vocabulary. B, L and P are free in the graph, and so is G, which follows from the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thinkling.artifacts.onnx_writing import write_graph
from thinkling.data.batch import TextBatch
from thinkling.nn.attention import Attention
from thinkling.nn.block import PreNormBlock
from thinkling.nn.rope import rope_tables, rotate
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import Level, Rotary, ThinkingBert, at_positions

INPUTS: Mapping[str, tuple[str, str]] = {
    "inputs": ("batch", "length"),
    "documents": ("batch", "length"),
    "positions": ("batch", "places"),
    "z_H": ("batch", "length"),
    "z_L": ("batch", "length"),
}
"""Inputs of the graph with the names of their first two axes: int64 tokens, documents [B, L], positions [B, P] as in
`TextBatch`, and the carry [B, L, D] in fp32, which is zero before the first round."""
OUTPUTS = ("next_z_H", "next_z_L", "logits", "q_halt", "q_continue")
"""Outputs: the carry [B, L, D] for the next round, logits [B, P, V], and the Q values [B]."""

Allowed = tuple[Rotary, Tensor]
"""Rotary tables, each [S, E], and what may be looked at, [B, 1, S, S] bool."""


class OneRound(nn.Module):
    """The function that the graph holds: (inputs, documents, positions, z_H, z_L) -> `OUTPUTS`."""

    def __init__(self, network: ThinkingBert) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, inputs: Tensor, documents: Tensor, positions: Tensor, z_H: Tensor, z_L: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """One round; the same numbers as `ThinkingBert.segment` for slots that go on."""
        network, config = self.network, self.network.config
        x = network.embedding_norm(network.tok_embeddings(inputs, torch.float32))
        whole, local = _reaches(documents, config)
        for _ in range(config.L_cycles):
            z_L = _level(network.low, z_L + (z_H + x), whole, local)
        if network.high is not None:
            members, mean, reach = _grouping(documents, config)
            z_H = members.transpose(1, 2) @ _level(network.high, mean @ (z_H + z_L), reach, reach)
        places = at_positions(network.answer_state(z_H, z_L), positions)
        features = network.head_norm(F.gelu(network.head_dense(places)))
        logits = F.linear(features, network.tok_embeddings.weight, network.decoder_bias)
        batch = TextBatch(inputs=inputs, documents=documents, positions=positions, labels=positions)
        q = network._q_values(z_H + z_L, features, batch)
        return z_H, z_L, logits, q[:, 0], q[:, 1]


def write_onnx(network: ThinkingBert, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the graph of a network, whole or not at all.

    Args:
        network: on the CPU; its master weights are written, in fp32.
        path: the file; an existing one is replaced.
        metadata: text by name, kept in the file.

    Raises:
        InputError: a package is missing, or the weights do not fit into one file.
        ThinklingError: the disk refuses.
    """
    write_graph(OneRound(network), _example(network.config), INPUTS, OUTPUTS, path, metadata)


def _example(config: ThinkingBertConfig) -> tuple[Tensor, ...]:
    """Inputs to trace with: sizes that differ and are not 1, so that none is taken for a constant."""
    batch, length, places = 2, max(4, min(5, config.max_length)), 3
    rows = torch.zeros(batch, length, dtype=torch.int64)
    state = torch.zeros(batch, length, config.hidden_size)
    return rows, rows + 1, rows[:, :places], state, state.clone()


def _level(level: Level, x: Tensor, whole: Allowed, local: Allowed) -> Tensor:
    """`Level.forward`. [B, S, D] -> [B, S, D]."""
    for index, layer in enumerate(level.layers):
        assert isinstance(layer, PreNormBlock)
        reach = local if index % level.global_every else whole
        x = x + _attention(layer.attn, x if layer.attn_norm is None else layer.attn_norm(x), reach)
        x = x + layer.mlp(layer.mlp_norm(x))
    out: Tensor = level.final_norm(x)
    return out


def _attention(attention: Attention, x: Tensor, reach: Allowed) -> Tensor:
    """`Attention.forward` for any number of positions. [B, S, D] -> [B, S, D]."""
    (cos, sin), allowed = reach
    batch, positions, width = x.shape
    qkv = attention.qkv_proj(x).view(batch, positions, 3, attention.heads, width // attention.heads)
    query, key = rotate(qkv[:, :, :2].flatten(2, 3), cos, sin).chunk(2, dim=2)
    mixed = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), qkv[:, :, 2].transpose(1, 2), attn_mask=allowed
    )
    out: Tensor = attention.o_proj(mixed.transpose(1, 2).reshape(batch, positions, width))
    return out


def _reaches(documents: Tensor, config: ThinkingBertConfig) -> tuple[Allowed, Allowed]:
    """Whole piece of text, and local window in it; padding looks at padding."""
    place = torch.arange(documents.shape[1])
    head = config.hidden_size // config.num_heads
    together = _same(documents)
    near = (place[:, None] - place[None, :]).abs() <= config.local_attention // 2
    whole = (rope_tables(place, head, config.global_rope_base), together.unsqueeze(1))
    return whole, (rope_tables(place, head, config.local_rope_base), (together & near).unsqueeze(1))


def _grouping(documents: Tensor, config: ThinkingBertConfig) -> tuple[Tensor, Tensor, Allowed]:
    """Members [B, G, L] 1 where a token belongs to a group, the same divided by the group's size, and its reach."""
    length = documents.shape[1]
    place = torch.arange(length)
    first = torch.where(_same(documents), place, length).amin(-1)  # ONNX has no running maximum
    offset = place - first
    starts = offset == 0 if config.high_level == "vector" else offset % config.pooling_window == 0
    real = documents > 0
    group = torch.where(real, (starts & real).long().cumsum(1) - 1, -1)
    count: Any = group.max().item() + 1  # not by `int`: the tracer's number must stay a symbol
    check: Any = torch._check  # tells the tracer what it cannot know of a number that it has not seen
    check(count >= 1)
    check(count <= length)
    numbers = torch.arange(count)
    belongs = group[:, None, :] == numbers[None, :, None]
    piece = torch.where(belongs, documents[:, None, :], 0).amax(-1)
    members = belongs.float()
    tables = rope_tables(numbers, config.hidden_size // config.num_heads, config.global_rope_base)
    reach = (tables, _same(piece).unsqueeze(1))
    return members, members / members.sum(-1, keepdim=True).clamp(min=1), reach


def _same(piece: Tensor) -> Tensor:
    """Whether two places belong to the same piece. [B, S] -> [B, S, S] bool."""
    return piece[:, :, None] == piece[:, None, :]
