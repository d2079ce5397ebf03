"""How good a classifier is after each round of thought, and with halting as it is used.

Shapes: N texts, S rounds, B batch, C classes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.nn.casting import weights_cast_once
from thinkling.thinking.halting import HaltRule
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.text_stream import TextRow, answered, batch_of

CONFIDENT = 0.5
"""A wrong answer counts as confident where the model gives at least this probability of being right."""
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What a classifier says of every text after every round."""

    classes: NDArray[np.int64]
    """[N, S] class chosen."""
    q_halt: Tensor
    """[N, S] logit of the class being right."""
    q_continue: Tensor
    """[N, S] logit of the value of thinking on."""

    def accuracy(self, labels: NDArray[np.int64]) -> list[float]:
        """[S] share of texts [N] that are right after each round."""
        return [float(share) for share in (self.classes == labels[:, None]).mean(0)]

    def halted_at(self, rule: HaltRule) -> NDArray[np.int64]:
        """[N] the round (from 0) after which each text stops by a rule, the last one at the latest."""
        count, steps = self.classes.shape
        willing = np.stack([self._willing(rule, step) for step in range(steps)], axis=1)
        stopped = np.full(count, steps - 1)
        for step in reversed(range(rule.confirmations, steps)):
            agreed = willing[:, step - rule.confirmations : step + 1].all(1)
            stopped = np.where(agreed, step, stopped)
        return stopped

    def _willing(self, rule: HaltRule, step: int) -> NDArray[np.bool_]:
        nothing = torch.empty(0)
        willing: NDArray[np.bool_] = rule.willing(
            self.q_halt[:, step], self.q_continue[:, step], nothing, nothing
        ).numpy()
        return willing


@dataclass(frozen=True, kw_only=True)
class ClassifyScore:
    """A classifier's score on labelled texts."""

    n: int
    """Texts."""
    accuracy: float
    """Share of texts with the right class, with halting as asked for."""
    macro_f1: float
    """F1 of each class that occurs, averaged over the classes."""
    accuracy_by_steps: tuple[float, ...]
    """Accuracy if every text stopped after 1, 2, … rounds."""
    mean_steps: float
    """Rounds spent, on average."""
    p95_steps: float
    """95th percentile of the rounds spent."""
    wrong_but_confident: float
    """Share of texts classified wrongly at a halt probability of one half or more."""
    seconds: float
    """Wall-clock time with halting as asked for."""
    examples_per_second: float
    """Texts / seconds."""

    def as_json(self) -> dict[str, Any]:
        """All of it by name, the contract's keys of `thinkling eval` among it."""
        same = {"exact_accuracy": self.accuracy, "cell_accuracy": self.accuracy, "valid_rate": None}
        return dataclasses.asdict(self) | same


@torch.inference_mode()
def think_all_rounds(network: TextClassifier, rows: Sequence[TextRow], steps: int) -> Rounds:
    """Every text for every round, in batches of similar length.

    Args:
        network: in evaluation mode.
        rows: N texts.
        steps: S.
    """
    classes = np.zeros((len(rows), steps), dtype=np.int64)
    q_halt, q_continue = torch.zeros(len(rows), steps), torch.zeros(len(rows), steps)
    by_length = sorted(range(len(rows)), key=lambda number: len(rows[number].tokens))
    with weights_cast_once(network, network.compute_dtype):
        for start in range(0, len(rows), _BATCH):
            numbers = by_length[start : start + _BATCH]
            length = len(rows[numbers[-1]].tokens)
            batch = batch_of([rows[number] for number in numbers], length, 1).to(network.device)
            carry = network.fresh_carry(len(numbers), length)
            for step in range(steps):
                carry, output = network.segment(carry, batch)
                classes[numbers, step] = output.logits[:, 0].argmax(-1).cpu().numpy()
                q_halt[numbers, step] = output.q_halt.float().cpu()
                q_continue[numbers, step] = output.q_continue.float().cpu()
    return Rounds(classes=classes, q_halt=q_halt, q_continue=q_continue)


def evaluate_classifier(
    network: TextClassifier,
    rows: Sequence[TextRow],
    labels: NDArray[np.int64],
    rule: HaltRule,
    *,
    max_steps: int,
) -> ClassifyScore:
    """Classify every text with halting, on the clock, and once more to see every round.

    Args:
        network: in evaluation mode.
        rows: N texts.
        labels: [N] their classes.
        rule: what stops a text.
        max_steps: rounds after which it stops in any case.
    """
    said = np.zeros(len(rows), dtype=np.int64)
    steps, confident = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.bool_)
    start = time.perf_counter()
    with weights_cast_once(network, network.compute_dtype):
        answers = answered(
            rows,
            network,
            lambda _, answer: answer,
            rule=rule,
            max_steps=max_steps,
            most_tokens=network.config.max_length,
        )
        for number, answer in enumerate(answers):
            said[number], steps[number] = answer.tokens[0], answer.steps
            confident[number] = answer.q_halt >= CONFIDENT
    seconds = time.perf_counter() - start
    right = said == labels
    return ClassifyScore(
        n=len(rows),
        accuracy=float(right.mean()),
        macro_f1=macro_f1(said, labels),
        accuracy_by_steps=tuple(think_all_rounds(network, rows, max_steps).accuracy(labels)),
        mean_steps=float(steps.mean()),
        p95_steps=float(np.percentile(steps, 95)),
        wrong_but_confident=float((confident & ~right).mean()),
        seconds=seconds,
        examples_per_second=len(rows) / max(seconds, 1e-9),
    )


def macro_f1(said: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mean over the classes that occur in `labels` [N] of 2 * hits / (said + there)."""
    scores = []
    for kind in np.unique(labels):
        hits = int(((said == kind) & (labels == kind)).sum())
        scores.append(2 * hits / (int((said == kind).sum()) + int((labels == kind).sum())))
    return float(np.mean(scores))
