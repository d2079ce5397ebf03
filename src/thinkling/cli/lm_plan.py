"""`thinkling lm plan`: what a size costs, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tyro.conf import Positional

from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf_sizes import GGUF_TYPES, falls_back, gguf_bytes
from thinkling.lm.hardware import GIB, chosen
from thinkling.lm.plan import (
    TOKEN_BUDGETS,
    budget,
    cache_lengths,
    checkpoint_bytes,
    kv_cache_bytes,
    parameters,
)
from thinkling.lm.plan_stages import SECONDS_AN_HOUR, MachinePlan, on_machine, stages
from thinkling.lm.presets import preset

_SECONDS_A_DAY = 24 * SECONDS_AN_HOUR
_DAYS_A_YEAR = 365


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Say what a size costs to train and to run, from its sizes and stated assumptions, without building it."""

    preset: Positional[str]
    """A size: 1m, 5m, 15m or 50m for a laptop; 500m, 1b or 3b."""
    length: int = 0
    """Tokens of a training row; 0: the longest context, up to 8,192."""
    rows: int = 1
    """Rows that one chip (or process) has at a time."""
    tokens: tuple[int, ...] = TOKEN_BUDGETS
    """Token budgets of pre-training."""
    hardware: tuple[str, ...] = ()
    """Machines: rtx5090, h100, h200, trn2.48xlarge, graviton4, pi5; all of them where not given."""
    machines: int = 1
    """How many of a machine work together."""
    price: tuple[str, ...] = ()
    """Your own prices, in dollars an hour: h100=2.50 rtx5090=0.4"""
    utilisation: float | None = None
    """Share of the peak that training reaches, in place of each machine's own."""


LONGEST_BY_DEFAULT = 8192
"""Rows of pre-training are shorter than the longest context, which a last part of training is for."""


def run(arguments: Arguments) -> Report:
    """The plan of a size.

    Raises:
        InputError: an unknown size or machine, or a number that cannot be.
    """
    config = preset(arguments.preset)
    length = arguments.length or min(config.max_length, LONGEST_BY_DEFAULT)
    if not arguments.tokens:
        raise InputError("--tokens without a number", "one or more", "leave it out, or give a number")
    machines = [
        on_machine(
            config,
            machine,
            tokens=arguments.tokens,
            length=length,
            rows=arguments.rows,
            machines=arguments.machines,
        )
        for machine in chosen(arguments.hardware, arguments.price, arguments.utilisation)
    ]
    count = parameters(config)
    values: dict[str, Any] = {
        "preset": arguments.preset.lower(),
        "config": asdict(config),
        "length": length,
        "rows": arguments.rows,
        "machines": arguments.machines,
        "params": {**asdict(count), "total": count.total},
        "stages": [asdict(item) for item in stages(config, length=length, rows=arguments.rows)],
        "kv_cache": [
            {"length": seen, "bytes": kv_cache_bytes(config, seen)} for seen in cache_lengths(config)
        ],
        "checkpoints": checkpoint_bytes(config),
        "gguf": {kind: gguf_bytes(config, kind) for kind in GGUF_TYPES},
        "gguf_needs_fall_back": ["q4_k_m"] if falls_back(config) else [],
        "budgets": [
            asdict(budget(config, tokens, length=length, checkpointing=False)) for tokens in arguments.tokens
        ],
        "hardware": [asdict(item) for item in machines],
        "assumptions": _assumptions(machines),
    }
    return Report(values=values, text=_tables(config, values, machines))


def _assumptions(machines: Sequence[MachinePlan]) -> list[str]:
    """In words, one a line."""
    return [
        "operations are matrix products only, two a multiply-add; a backward pass is two forward passes",
        "AdamW with fp32 weights, gradients and two moments; activations are an estimate for fused attention",
        "states are divided over the chips of a machine; layers are recomputed only where they would not fit",
        "sizes on disk leave out headers and the tokenizer",
        *(
            f"{item.hardware.name}: {item.hardware.source}; {item.hardware.utilisation:.0%} of the peak reached; "
            f"{item.hardware.price:g} $/h ({item.hardware.price_source})"
            for item in machines
        ),
    ]


def _tables(config: DecoderConfig, values: dict[str, Any], machines: Sequence[MachinePlan]) -> Any:
    """What a person sees."""
    from rich.console import Group

    params, length, rows = values["params"], values["length"], values["rows"]
    total = params["total"]
    further = dict.fromkeys(values["gguf_needs_fall_back"], " --fall-back")
    return Group(
        _table(
            f"{values['preset']}: {total:,} parameters",
            ("part", "parameters", "share"),
            [
                (name.replace("_", " "), f"{number:,}", f"{number / total:.1%}")
                for name, number in params.items()
            ],
        ),
        _table(
            f"training, {rows} x {length:,} tokens at a time",
            ("stage", "products in", "FLOPs/token", "memory", "recomputing layers"),
            [
                (
                    item["stage"],
                    item["precision"],
                    f"{item['flops_per_token']:.3g}",
                    size_in_words(item["memory_bytes"]),
                    f"{size_in_words(item['memory_bytes_checkpointed'])}, "
                    f"{item['flops_per_token_checkpointed'] / item['flops_per_token']:.2f} x FLOPs",
                )
                for item in values["stages"]
            ],
        ),
        _table(
            "key and value cache of one sequence, 16 bit",
            ("tokens", "memory"),
            [(f"{item['length']:,}", size_in_words(item["bytes"])) for item in values["kv_cache"]],
        ),
        _table(
            "on disk",
            ("file", "size"),
            [
                *((name, size_in_words(size)) for name, size in values["checkpoints"].items()),
                *(
                    (
                        f"GGUF {kind}{further.get(kind, '')}",
                        "rows do not divide into blocks" if size is None else size_in_words(size),
                    )
                    for kind, size in values["gguf"].items()
                ),
            ],
        ),
        _table(
            "token budgets",
            ("tokens", "a parameter", "FLOPs"),
            [
                (f"{item['tokens']:,}", f"{item['tokens_per_parameter']:.3g}", f"{item['flops']:.3g}")
                for item in values["budgets"]
            ],
        ),
        _table(
            f"pre-training on {values['machines']} machine{'s' if values['machines'] > 1 else ''}, time and cost",
            (
                "machine",
                "a chip needs",
                "tokens/s",
                *(f"{item['tokens'] / 1e9:g}B tokens" for item in values["budgets"]),
                "generates at most",
            ),
            [_machine_row(item, len(values["budgets"])) for item in machines],
        ),
        "assumptions",
        *(f"  - {line}" for line in values["assumptions"]),
    )


def _machine_row(item: MachinePlan, budgets: int) -> tuple[str, ...]:
    memory = size_in_words(item.memory_bytes) + (", recomputing" if item.checkpointing else "")
    runs = [f"{time_in_words(run.seconds)}, ${run.dollars:,.0f}" for run in item.runs]
    return (
        item.hardware.title,
        memory if item.fits else f"{memory}: too much",
        f"{item.tokens_per_second:,.0f}" if item.fits else "–",
        *(runs or ["–"] * budgets),
        f"{item.generation_limit:,.0f} tokens/s",
    )


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def size_in_words(size: int) -> str:
    """Bytes for a person."""
    for unit, name in ((GIB, "GiB"), (1 << 20, "MiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:,.0f} {name}"
    return f"{size / 1024:.3g} KiB"


def time_in_words(seconds: float) -> str:
    """Seconds for a person, in the unit that suits."""
    for unit, name in (
        (_DAYS_A_YEAR * _SECONDS_A_DAY, "years"),
        (_SECONDS_A_DAY, "days"),
        (SECONDS_AN_HOUR, "hours"),
        (60, "minutes"),
    ):
        if seconds >= 2 * unit:
            count = seconds / unit
            return f"{count:.1f} {name}" if count < 100 else f"{count:,.0f} {name}"
    return f"{seconds:.3g} seconds"
