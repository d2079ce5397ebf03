"""A plan in full: every stage of training in every precision, and every token budget on every machine.

Everything is arithmetic on the sizes (`lm.plan`, `lm.gguf_sizes`) and on the assumptions of `lm.hardware`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf_sizes import gguf_bytes
from thinkling.lm.hardware import Hardware
from thinkling.lm.plan import (
    PRECISIONS,
    Budget,
    Precision,
    budget,
    chip_memory,
    forward_flops,
    kv_cache_bytes,
    parameters,
    training_flops,
    training_memory,
)

Stage: TypeAlias = Literal["pre-training", "fine-tuning", "reinforcement learning"]
STAGES: tuple[Stage, ...] = ("pre-training", "fine-tuning", "reinforcement learning")
ROLLOUTS = 64
"""Sequences generated at the same time in reinforcement learning."""
USABLE = 0.9
"""Share of a machine's memory that a plan fills; the rest is for its system and for fragmentation."""
SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage in one precision, for one process with `rows` rows at a time."""

    stage: Stage
    """Which part of training."""
    precision: Precision
    """dtype of matrix products."""
    flops_per_token: float
    """Operations for each token learnt from."""
    flops_per_token_checkpointed: float
    """The same where layers are recomputed instead of kept."""
    memory_bytes: int
    """Memory of the process."""
    memory_bytes_checkpointed: int
    """The same where layers are recomputed."""


def stages(config: DecoderConfig, *, length: int, rows: int) -> list[StagePlan]:
    """Every stage in every precision.

    Fine-tuning costs what pre-training costs for each token. Reinforcement learning generates each token first, which
    is one forward pass more and needs a cache for 64 sequences beside the training state.

    Raises:
        InputError: rows or a length that cannot be.
    """
    check_rows(config, length, rows)
    plans = []
    for stage in STAGES:
        generates = stage == "reinforcement learning"
        for precision in PRECISIONS:
            flops, memory = [], []
            for again in (False, True):
                needed = training_memory(
                    config, length=length, rows=rows, precision=precision, checkpointing=again
                )
                cache = kv_cache_bytes(config, length, value_bytes=2 if precision == "bf16" else 4)
                memory.append(needed.total + (ROLLOUTS * cache if generates else 0))
                flops.append(
                    training_flops(config, length, checkpointing=again)
                    + (forward_flops(config, length) if generates else 0)
                )
            plans.append(
                StagePlan(
                    stage=stage,
                    precision=precision,
                    flops_per_token=flops[0],
                    flops_per_token_checkpointed=flops[1],
                    memory_bytes=memory[0],
                    memory_bytes_checkpointed=memory[1],
                )
            )
    return plans


def check_rows(config: DecoderConfig, length: int, rows: int) -> None:
    """InputError unless rows of this length can be trained on."""
    if not 1 <= length <= config.max_length:
        raise InputError(
            f"--length {length}", f"1..{config.max_length}, the longest context", "give a shorter length"
        )
    if rows < 1:
        raise InputError(f"--rows {rows}", "1 or more", "give the rows of one process")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Pre-training on one token budget on one machine."""

    tokens: int
    """Tokens."""
    seconds: float
    """Time."""
    dollars: float
    """Rent, or electricity where the machine is bought."""


@dataclass(frozen=True, kw_only=True)
class MachinePlan:
    """A model on a machine."""

    hardware: Hardware
    """The machine with its assumptions."""
    precision: Precision
    """What it trains in."""
    fits: bool
    """Whether training fits into its memory, recomputing layers if it must."""
    checkpointing: bool
    """Whether layers have to be recomputed for that."""
    memory_bytes: int
    """Memory that one of its chips needs."""
    tokens_per_second: float
    """Pre-training."""
    runs: list[Run]
    """One for each token budget; empty where training does not fit."""
    generation_limit: float
    """Tokens a second of one sequence that its memory allows at most, in Q4_K_M (or F16 where that cannot be)."""


def on_machine(
    config: DecoderConfig,
    machine: Hardware,
    *,
    tokens: tuple[int, ...],
    length: int,
    rows: int,
    machines: int = 1,
) -> MachinePlan:
    """Time and cost of pre-training.

    States are divided over all chips (`--train.sharding full`); each chip has `rows` rows at a time. Layers are
    recomputed only where their activations would not fit.

    Args:
        config: the model.
        machine: where.
        tokens: budgets.
        length: tokens of a row.
        rows: rows of one chip at a time.
        machines: how many of them work together, each at the utilisation of one.

    Raises:
        InputError: a number that cannot be.
    """
    check_rows(config, length, rows)
    if machines < 1:
        raise InputError(f"--machines {machines}", "1 or more", "give how many work together")
    precision: Precision = "bf16" if machine.bf16 else "fp32"
    chips = machine.chips * machines
    needed, again = 0, False
    room = USABLE * machine.memory_bytes / machine.chips
    for again in (False, True):
        needed = chip_memory(
            config, length=length, rows=rows, precision=precision, checkpointing=again, chips=chips
        )
        if needed <= room:
            break
    fits = needed <= room
    rate = machines * machine.peak_bf16 * machine.utilisation
    runs = []
    for count in tokens:
        wanted: Budget = budget(config, count, length=length, checkpointing=again)
        seconds = wanted.flops / rate
        dollars = seconds / SECONDS_AN_HOUR * machine.price * machines
        runs.append(Run(tokens=count, seconds=seconds, dollars=dollars))
    read = gguf_bytes(config, "q4_k_m") or 2 * parameters(config).total
    return MachinePlan(
        hardware=machine,
        precision=precision,
        fits=fits,
        checkpointing=again,
        memory_bytes=needed,
        tokens_per_second=rate / training_flops(config, length, checkpointing=again),
        runs=runs if fits else [],
        generation_limit=machine.bandwidth / read,
    )
