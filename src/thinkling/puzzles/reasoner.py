"""What HRM and TRM share: the embedding of the question, the carry, the two heads, and one segment.

Architecture only: no optimiser, no loss, no file.

Shapes: B batch (slots), L positions of the sequence, P positions of the puzzle prefix, S = P + L, D width,
V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError
from thinkling.nn.block import Block, Mixing
from thinkling.nn.casting import Embedding, Linear, weights_cast_once
from thinkling.nn.init import truncated_normal_
from thinkling.nn.local_mixing import DepthwiseConv
from thinkling.nn.rope import rope_tables, rope_tables_2d
from thinkling.nn.sparse_embedding import SparseEmbedding
from thinkling.thinking.carry import Carry, SegmentOutput, fresh_carry
from thinkling.thinking.compiled import Backend, compiled
from thinkling.thinking.cycles import Cycles, GradientThrough, Level, run_cycles

Positions = Literal["rope", "rope_2d", "learned", "none"]
"""How a position is told apart: rotary tables over the sequence or over rows and columns, a learned row, or not at all
(the MLP over positions and local mixing need none)."""

HALT_BIAS_AT_START = -5.0
"""Initial bias of both Q values: nothing halts before it has learned when (HRM's and TRM's code)."""


@dataclass(frozen=True, kw_only=True)
class ReasonerConfig:
    """Architecture of a latent-space reasoner."""

    vocab_size: int
    """Tokens, padding included."""
    seq_len: int
    """Positions of question and answer."""
    rows: int = 0
    """Rows of the grid that the positions form; 0: not said. Needed for mixing "local" and positions "rope_2d"."""
    columns: int = 0
    """Columns of that grid."""
    num_puzzle_ids: int = 1
    """Rows of the puzzle embedding; row 0 is the blank puzzle."""
    puzzle_emb_dim: int = 0
    """Width of a puzzle embedding; 0 turns it off."""
    puzzle_emb_len: int = 0
    """Positions of the puzzle prefix; 0: as many as `puzzle_emb_dim` fills."""
    hidden_size: int = 512
    """Width of the latent state."""
    num_heads: int = 8
    """Attention heads."""
    expansion: float = 4.0
    """Feed-forward expansion before the 2/3 of SwiGLU."""
    inner_multiple: int = 256
    """Feed-forward widths are rounded up to a multiple of this."""
    mixing: Mixing = "attention"
    """How positions exchange information."""
    positions: Positions = "rope"
    """How positions are told apart."""
    H_cycles: int = 2
    """High-level cycles in a segment (N)."""
    L_cycles: int = 2
    """Low-level steps in a high-level cycle (T)."""
    norm_eps: float = 1e-5
    """Added to the mean square in every norm."""
    rope_base: float = 10000.0
    """Base of the rotary frequencies."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise InputError(
                f"hidden_size {self.hidden_size} with num_heads {self.num_heads}",
                "heads that divide the width into even sizes",
                "change model.hidden_size or model.num_heads",
            )
        for name in (
            "vocab_size",
            "seq_len",
            "num_puzzle_ids",
            "hidden_size",
            "num_heads",
            "H_cycles",
            "L_cycles",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set model.{name}")
        if (
            self.mixing == "local" or self.positions == "rope_2d"
        ) and self.rows * self.columns != self.seq_len:
            raise InputError(
                f"a grid of {self.rows} x {self.columns} for {self.seq_len} positions",
                "rows and columns that cover the positions",
                "set model.rows and model.columns, or another model.mixing and model.positions",
            )
        if self.positions == "rope_2d" and self.hidden_size // self.num_heads % 4:
            raise InputError(
                f"heads of {self.hidden_size // self.num_heads} with rope_2d",
                "a head size that is a multiple of 4: half of it for rows, half for columns",
                "change model.num_heads",
            )
        if self.puzzle_emb_len and not self.puzzle_emb_dim:
            raise InputError(
                f"puzzle_emb_len {self.puzzle_emb_len} without an embedding",
                "0, or a puzzle_emb_dim above 0",
                "set model.puzzle_emb_dim",
            )
        if self.mixing == "local" and (self.puzzle_emb_len or self.puzzle_emb_dim > self.hidden_size):
            raise InputError(
                f"puzzle_emb_dim {self.puzzle_emb_dim} and puzzle_emb_len {self.puzzle_emb_len} with local mixing",
                f"an embedding that fits a cell: up to {self.hidden_size}, and length 0",
                "change model.puzzle_emb_dim",
            )
        if self.mixing != "local" and self.puzzle_emb_dim > self.prefix_len * self.hidden_size:
            raise InputError(
                f"puzzle_emb_dim {self.puzzle_emb_dim}",
                f"up to {self.prefix_len} prefix positions of width {self.hidden_size}",
                "raise model.puzzle_emb_len",
            )

    @property
    def prefix_len(self) -> int:
        """P, positions of the puzzle prefix; none with local mixing, where every cell gets the embedding."""
        if self.mixing == "local":
            return 0
        return self.puzzle_emb_len or -(-self.puzzle_emb_dim // self.hidden_size)

    @property
    def total_len(self) -> int:
        """S = P + L."""
        return self.prefix_len + self.seq_len

    @property
    def cycles(self) -> Cycles:
        """The cycles of a segment."""
        return Cycles(H=self.H_cycles, L=self.L_cycles)


class ReasonerLevel(nn.Module):
    """One recurrent module: add the injection to the state, then the blocks. [B, S, D] x 2 -> [B, S, D]."""

    def __init__(self, config: ReasonerConfig, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Block(
                width=config.hidden_size,
                heads=config.num_heads,
                positions=config.total_len,
                expansion=config.expansion,
                mixing=config.mixing,
                grid=(config.rows, config.columns),
                norm_eps=config.norm_eps,
                inner_multiple=config.inner_multiple,
            )
            for _ in range(layers)
        )

    def forward(self, state: Tensor, injection: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        state = state + injection
        for layer in self.layers:
            state = layer(state, rotary)
        return state


class Reasoner(nn.Module):
    """A recurrent model that refines its answer segment by segment."""

    gradient: ClassVar[GradientThrough]
    H_init: Tensor
    L_init: Tensor
    rope_cos: Tensor
    rope_sin: Tensor

    def __init__(self, config: ReasonerConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.cast_once = True
        """Whether a segment casts its weights once; off, every use casts anew, as a plain loop would."""
        self._compiled: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] | None = None
        width = config.hidden_size
        self.embed_tokens = Embedding(config.vocab_size, width)
        self.embed_pos = Embedding(config.total_len, width) if config.positions == "learned" else None
        self.puzzle_emb = (
            SparseEmbedding(config.num_puzzle_ids, config.puzzle_emb_dim) if config.puzzle_emb_dim else None
        )
        self.lm_head = Linear(width, config.vocab_size)
        self.q_head = Linear(width, 2, bias=True)
        self.register_buffer("H_init", torch.empty(width))
        self.register_buffer("L_init", torch.empty(width))
        if config.positions in ("rope", "rope_2d"):
            cos, sin = self._rope_tables()
            self.register_buffer("rope_cos", cos, persistent=False)
            self.register_buffer("rope_sin", sin, persistent=False)

    def _rope_tables(self) -> tuple[Tensor, Tensor]:
        config = self.config
        head_dim = config.hidden_size // config.num_heads
        if config.positions == "rope":
            return rope_tables(torch.arange(config.total_len), head_dim, config.rope_base)
        # The prefix lies outside the grid, in a row above it.
        outside = torch.arange(-config.prefix_len, 0)
        row = torch.cat(
            (torch.full_like(outside, -1), torch.arange(config.rows).repeat_interleave(config.columns))
        )
        column = torch.cat((outside, torch.arange(config.columns).repeat(config.rows)))
        return rope_tables_2d(row, column, head_dim, config.rope_base)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.H_init.device

    def levels(self) -> tuple[nn.Module, nn.Module]:
        """(low-level module, high-level module)."""
        raise TypeError(f"{type(self).__name__} does not say which modules it iterates")

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Draw all weights from a seed: LeCun normal, embeddings with deviation 1/sqrt(D), Q head at rest."""
        generator = torch.Generator().manual_seed(seed)
        embedding_std = 1 / math.sqrt(self.config.hidden_size)
        for module in self.modules():
            if isinstance(module, Linear | DepthwiseConv):
                truncated_normal_(module.weight, 1 / math.sqrt(module.weight[0].numel()), generator)
            elif isinstance(module, Embedding):
                truncated_normal_(module.weight, embedding_std, generator)
        truncated_normal_(self.H_init, 1.0, generator)
        truncated_normal_(self.L_init, 1.0, generator)
        self.q_head.weight.zero_()
        assert self.q_head.bias is not None
        self.q_head.bias.fill_(HALT_BIAS_AT_START)

    def embed(self, batch: PuzzleBatch) -> Tensor:
        """The question as the input of every cycle. [B, L] -> [B, S, D] in the compute dtype."""
        x: Tensor = self.embed_tokens(batch.inputs, self.compute_dtype)
        if self.puzzle_emb is not None:
            rows = self.puzzle_emb(batch.puzzle_ids)
            if self.config.mixing == "local":
                room = self.config.hidden_size - rows.shape[1]
                return (x + nn.functional.pad(rows, (0, room))[:, None].to(x.dtype)) * math.sqrt(
                    self.config.hidden_size
                )
            room = self.config.prefix_len * self.config.hidden_size - rows.shape[1]
            prefix = nn.functional.pad(rows, (0, room)).view(len(rows), self.config.prefix_len, -1)
            x = torch.cat((prefix.to(x.dtype), x), dim=1)
        if self.embed_pos is not None:
            x = math.sqrt(0.5) * (x + self.embed_pos.cast_weight(x.dtype))
        return x * math.sqrt(self.config.hidden_size)

    def fresh_carry(self, batch_size: int) -> Carry:
        """A carry whose slots are all halted, so that their first segment starts from the initial state."""
        config = self.config
        return fresh_carry(
            batch_size, config.total_len, config.hidden_size, dtype=self.compute_dtype, device=self.device
        )

    def started_carry(self, batch_size: int) -> Carry:
        """A carry as a reset leaves it: every slot holds the initial state, has spent no step and is not halted.

        What is added to it reaches the first segment, which a halted slot would throw away.
        """
        positions = self.config.total_len
        return Carry(
            z_H=self.H_init.to(self.compute_dtype).repeat(batch_size, positions, 1),
            z_L=self.L_init.to(self.compute_dtype).repeat(batch_size, positions, 1),
            steps=torch.zeros(batch_size, dtype=torch.int64, device=self.device),
            halted=torch.zeros(batch_size, dtype=torch.bool, device=self.device),
        )

    def cast_weights(self) -> AbstractContextManager[None]:
        """A block in which every weight is cast once; one that changes nothing where `cast_once` is off."""
        return weights_cast_once(self, self.compute_dtype) if self.cast_once else nullcontext()

    def segment(
        self, carry: Carry, batch: PuzzleBatch, *, cycles: Cycles | None = None
    ) -> tuple[Carry, SegmentOutput]:
        """One segment: reset the slots that come in halted, run the cycles, read the heads.

        Args:
            carry: state of B slots.
            batch: `inputs` [B, L], `puzzle_ids` [B] (a PuzzleBatch, a mapping, or any object with these names).
            cycles: other cycles than the model's, while training begins with fewer.

        Returns:
            The new carry, without gradient and with no slot halted, and the output of the segment. When to stop is
            decided outside.
        """
        batch = PuzzleBatch.of(batch)
        cycles = cycles or self.config.cycles
        with self.cast_weights():
            # Only training keeps its shapes; an evaluation's batch shrinks, and would be compiled anew each time.
            think = self._compiled if self.training and self._compiled is not None else self._think
            z_H, z_L, q, logits = think(
                carry.halted, carry.z_H, carry.z_L, self.embed(batch), H_cycles=cycles.H, L_cycles=cycles.L
            )
        steps = torch.where(carry.halted, 0, carry.steps) + 1
        new_carry = Carry(
            z_H=z_H.detach(), z_L=z_L.detach(), steps=steps, halted=torch.zeros_like(carry.halted)
        )
        return new_carry, SegmentOutput(logits=logits, q_halt=q[:, 0], q_continue=q[:, 1])

    forward = segment

    def compile_segment(self, backend: Backend = "inductor") -> None:
        """Let `torch.compile` make one program of everything in a training segment but the embedding and the casts.

        The program is made when a segment first runs, for the shapes it then sees; other shapes, cycles, and a segment
        without gradient get one of their own. What it computes agrees with the plain path within rounding of the
        compute dtype.

        Args:
            backend: of `torch.compile`.
        """
        self._compiled = compiled(self._think, backend)

    def _think(
        self, halted: Tensor, z_H: Tensor, z_L: Tensor, x: Tensor, *, H_cycles: int, L_cycles: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reset, cycles and heads, tensors only.

        Args:
            halted: [B] bool, slots that start anew.
            z_H: [B, S, D] high-level state.
            z_L: [B, S, D] low-level state.
            x: [B, S, D] embedded question.
            H_cycles: high-level cycles.
            L_cycles: low-level steps in each.

        Returns:
            z_H and z_L [B, S, D], both Q values [B, 2] fp32, logits [B, L, V].
        """
        fresh = halted.view(-1, 1, 1)
        low, high = self._bound_levels()
        z_H, z_L = run_cycles(
            torch.where(fresh, self.H_init.to(z_H.dtype), z_H),
            torch.where(fresh, self.L_init.to(z_L.dtype), z_L),
            x,
            low=low,
            high=high,
            H_cycles=H_cycles,
            L_cycles=L_cycles,
            gradient=self.gradient,
        )
        # With local mixing no single position sees the whole grid.
        summary = z_H.mean(1) if self.config.mixing == "local" else z_H[:, 0]
        return z_H, z_L, self.q_head(summary).float(), self.lm_head(z_H[:, self.config.prefix_len :])

    def _bound_levels(self) -> tuple[Level, Level]:
        """The two modules with the rotary tables filled in, the tables cast once."""
        rotary = None
        if self.config.positions in ("rope", "rope_2d") and self.config.mixing == "attention":
            rotary = (self.rope_cos.to(self.compute_dtype), self.rope_sin.to(self.compute_dtype))
        low, high = self.levels()
        return (lambda state, injection: low(state, injection, rotary)), (
            lambda state, injection: high(state, injection, rotary)
        )
