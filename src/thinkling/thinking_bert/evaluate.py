"""Scoring a Thinking-BERT on masked rows: after every round, with halting as it is used, and token by token.

Shapes: B rows, L positions of a row, P places to be predicted, N rounds.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.data.batch import IGNORE_LABEL, TextBatch
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.cross_entropy import token_cross_entropy
from thinkling.thinking.halting import HaltingConfig, HaltRule, HaltRuleName
from thinkling.thinking.slots import SlotMachine
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.rows import MaskedRows
from thinkling.thinking_bert.text_stream import OfLength

DEFAULT_SLOTS = 64
"""Rows in work at once."""

_Z_95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of masked tokens, with its 95 % interval; rows, not tokens, count as independent."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, right: NDArray[np.integer], counted: NDArray[np.integer]) -> Share:
        """From the right and the counted tokens of each row [B] (a ratio estimate, Cochran 1977, equation 6.13)."""
        total = max(int(counted.sum()), 1)
        value = float(right.sum()) / total
        rows = len(right)
        spread = float(np.square(right - value * counted).sum()) * rows / max(rows - 1, 1)
        margin = _Z_95 * math.sqrt(spread) / total
        return cls(value=value, low=value - margin, high=value + margin)


@dataclass(frozen=True, kw_only=True)
class MaskedScore:
    """How well masked tokens are found."""

    n: int
    """Rows."""
    masked_tokens: int
    """Tokens that were predicted."""
    masked_accuracy: float
    """Share of them right, with halting as asked for."""
    masked_accuracy_interval: tuple[float, float]
    """Its 95 % interval."""
    exact_accuracy: float
    """Share of the rows in which all are right."""
    mean_steps: float
    """Rounds spent, on average."""
    p95_steps: float
    """95th percentile of the rounds spent."""
    wrong_but_confident: float
    """Share of the rows with something wrong in which the halt value promised at least one half."""
    seconds: float
    """Wall-clock time of the answers with halting."""
    examples_per_second: float
    """Rows / seconds."""
    accuracy_by_step: tuple[float, ...]
    """Share of the tokens right after each round, when nothing halts."""
    perplexity_by_step: tuple[float, ...]
    """exp(mean loss of the masked tokens) after each round, when nothing halts."""

    @property
    def masked_perplexity(self) -> float:
        """The perplexity after the last round."""
        return self.perplexity_by_step[-1]


@dataclass(frozen=True, kw_only=True)
class RoundByRound:
    """What every row has right after each round, when nothing halts."""

    right: NDArray[np.int64]
    """[B, N] tokens right."""
    counted: NDArray[np.int64]
    """[B] tokens predicted."""
    losses: NDArray[np.float64]
    """[B, N] sum of the losses of those tokens."""
    q_halt: NDArray[np.float64]
    """[B, N] logits."""
    q_continue: NDArray[np.float64]
    """[B, N] logits."""


def evaluate(
    network: ThinkingBert,
    rows: TextBatch,
    halting: HaltingConfig,
    *,
    halt: HaltRuleName = "q",
    steps: int | None = None,
    slots: int = DEFAULT_SLOTS,
) -> MaskedScore:
    """Score a network.

    Args:
        network: in evaluation mode.
        rows: masked rows of one length, with labels.
        halting: the model's settings.
        halt: by the Q values, or never before the limit.
        steps: limit of rounds (None: the trained one).
        slots: rows in work at once.
    """
    limit = halting.max_steps if steps is None else steps
    labels = rows.labels.numpy()
    counted = (labels != IGNORE_LABEL).sum(1)
    right, spent, promised, seconds = answered(
        network, rows, HaltRule.of(halt, halting), max_steps=limit, slots=slots
    )
    free = round_by_round(network, rows, steps=limit, size=slots)
    share = Share.of(right, counted)
    tokens = max(int(counted.sum()), 1)
    return MaskedScore(
        n=len(labels),
        masked_tokens=int(counted.sum()),
        masked_accuracy=share.value,
        masked_accuracy_interval=(share.low, share.high),
        exact_accuracy=float((right == counted).mean()),
        mean_steps=float(spent.mean()),
        p95_steps=float(np.quantile(spent, 0.95, method="inverted_cdf")),
        wrong_but_confident=float(((right < counted) & (promised >= 0.5)).mean()),
        seconds=seconds,
        examples_per_second=len(labels) / max(seconds, 1e-9),
        accuracy_by_step=tuple((free.right.sum(0) / tokens).tolist()),
        perplexity_by_step=tuple(np.exp(free.losses.sum(0) / tokens).tolist()),
    )


def answered(
    network: ThinkingBert, rows: TextBatch, rule: HaltRule, *, max_steps: int, slots: int = DEFAULT_SLOTS
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], float]:
    """Run rows through the slots, rows leaving as they halt.

    Returns:
        tokens right [B], rounds spent [B], probability promised by the halt value [B], seconds.
    """
    count, length = rows.inputs.shape

    def collate(numbers: Sequence[int]) -> TextBatch:
        return rows.select(torch.tensor(numbers))

    machine = SlotMachine(OfLength(network, length), collate, rule, max_steps=max_steps, slots=slots)
    labels = rows.labels.numpy()
    right, spent = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    promised = np.zeros(count)
    started = time.perf_counter()
    with weights_cast_once(network, network.compute_dtype):
        for answer in machine.answers(range(count), ordered=False):
            right[answer.index] = int((answer.tokens == labels[answer.index]).sum())
            spent[answer.index], promised[answer.index] = answer.steps, answer.q_halt
    return right, spent, promised, time.perf_counter() - started


@torch.inference_mode()
def round_by_round(
    network: ThinkingBert, rows: TextBatch, *, steps: int, size: int = DEFAULT_SLOTS
) -> RoundByRound:
    """Run every row for all rounds and note what is right after each."""
    found: list[list[tuple[NDArray[np.float64], ...]]] = []
    with weights_cast_once(network, network.compute_dtype):
        for batch in _parts(rows, size, network.device):
            carry = network.fresh_carry(*batch.inputs.shape)
            rounds = []
            for _ in range(steps):
                carry, output = network.segment(carry, batch)
                hits = ((output.logits.max(-1).indices == batch.labels) & (batch.labels != IGNORE_LABEL)).sum(
                    1
                )
                loss = token_cross_entropy(output.logits, batch.labels, loss="softmax").sum(1)
                values = (hits, loss, output.q_halt, output.q_continue)
                rounds.append(tuple(value.double().cpu().numpy() for value in values))
            found.append(rounds)
    right, losses, q_halt, q_continue = (
        np.concatenate([np.stack([one[part] for one in rounds], axis=1) for rounds in found])
        for part in range(4)
    )
    return RoundByRound(
        right=right.astype(np.int64),
        counted=(rows.labels != IGNORE_LABEL).sum(1).numpy(),
        losses=losses,
        q_halt=q_halt,
        q_continue=q_continue,
    )


@dataclass(frozen=True, kw_only=True)
class HaltingPoint:
    """What halting at one threshold costs and reaches."""

    threshold: float
    """Of the rule."""
    mean_steps: float
    """Rounds spent, on average."""
    masked_accuracy: float
    """Share of the masked tokens right."""


def halting_curve(
    free: RoundByRound, halting: HaltingConfig, thresholds: Sequence[float]
) -> tuple[HaltingPoint, ...]:
    """Accuracy against compute: where rows would stop by their Q values at each threshold.

    Args:
        free: what every row says after every round.
        halting: the model's settings.
        thresholds: of the rule.
    """
    points = []
    rows = len(free.right)
    q_halt, q_continue = torch.from_numpy(free.q_halt), torch.from_numpy(free.q_continue)
    for threshold in thresholds:
        rule = HaltRule.of("q", dataclasses.replace(halting, threshold=threshold))
        willing = rule.willing(q_halt, q_continue, q_halt, q_halt).numpy()
        willing[:, -1] = True
        stopped = willing.argmax(1)
        right = free.right[np.arange(rows), stopped].sum()
        points.append(
            HaltingPoint(
                threshold=threshold,
                mean_steps=float(stopped.mean()) + 1,
                masked_accuracy=float(right / max(int(free.counted.sum()), 1)),
            )
        )
    return tuple(points)


def pseudo_perplexity(
    network: ThinkingBert, rows: MaskedRows, *, steps: int, count: int, size: int = DEFAULT_SLOTS
) -> tuple[float, ...]:
    """exp(mean loss of each token when it alone is masked), after each round (Salazar et al. 2020, equation 2).

    Args:
        network: in evaluation mode.
        rows: where the rows come from.
        steps: rounds.
        count: rows scored; each is run as often as it has tokens.
        size: rows run at once.
    """
    losses, tokens = np.zeros(steps), 0
    for row in np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64):
        copies = rows.one_masked_at_a_time(int(row))
        losses += round_by_round(network, copies, steps=steps, size=size).losses.sum(0)
        tokens += len(copies.labels)
    return tuple(np.exp(losses / max(tokens, 1)).tolist())


def _parts(rows: TextBatch, size: int, device: torch.device) -> Iterator[TextBatch]:
    for start in range(0, len(rows.inputs), size):
        yield rows.select(torch.arange(start, min(start + size, len(rows.inputs)))).to(device)
