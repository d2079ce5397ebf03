"""What the trainer needs to know of classification: slots that take texts, one round's loss, a validation.

Shapes: B local slots of this rank, K slots that take a new text, L positions of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype, resolve_dtype
from thinkling.thinking.halting import HaltingConfig, HaltRule
from thinkling.thinking.slots import Slots
from thinkling.thinking.supervision import SegmentLoss, supervised_segment
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.classify_evaluate import macro_f1, think_all_rounds
from thinkling.thinking_bert.classify_examples import ClassifyExamples
from thinkling.thinking_bert.text_slots import TextObjective, TextSlots
from thinkling.training.objective import Loss, Shard

_DROPOUT_STREAM = 0xD80F
"""Keeps the draws of dropout apart from those of the data order."""


class ClassifyObjective(TextObjective[TextClassifier]):
    """Deep supervision with adaptive computation time on labelled texts.

    Every round of a text has its own loss; the target of the halt value is that the class is right. Slot s of the
    whole batch takes the items s, s + batch_size, s + 2 * batch_size … of the data order, whenever it halts.

    Args:
        model: the classifier, on its device.
        tokenizer: of the model; written into the run folder.
        train: training texts.
        validation: texts that the best weights are chosen by.
        halting: adaptive computation time.
        batch_size: slots over all ranks.
        mask_rate: share of each training text's tokens that is masked.
        seed: of data order, masks, dropout and exploration.
        shard: this rank's part.
        description: stored in the run's config.json.
        compute_dtype: dtype of matrix products.
    """

    validation_metric = "accuracy"

    def __init__(
        self,
        model: TextClassifier,
        tokenizer: TextTokenizer,
        train: ClassifyExamples,
        validation: ClassifyExamples,
        *,
        halting: HaltingConfig,
        batch_size: int,
        mask_rate: float,
        seed: int,
        shard: Shard | None = None,
        description: Mapping[str, Any] | None = None,
        compute_dtype: ComputeDtype = "auto",
    ) -> None:
        super().__init__(model, tokenizer, description)
        self.train = train
        self.validation = validation
        self.halting = halting
        self.batch_size = batch_size
        self.mask_rate = mask_rate
        self.seed = seed
        self.slots = np.arange(batch_size, dtype=np.int64)[(shard or Shard()).local(batch_size)]
        model.compute_dtype = resolve_dtype(compute_dtype, model.device)

    def fresh_state(self) -> TextSlots:
        """Halted slots that have taken no text yet."""
        local, device = len(self.slots), self.model.device
        nothing = torch.zeros(local, self.train.length, dtype=torch.int64, device=device)
        one = torch.zeros(local, 1, dtype=torch.int64, device=device)
        batch = TextBatch(inputs=nothing, documents=nothing, positions=one, labels=one)
        carry = self.model.fresh_carry(local, self.train.length)
        return Slots(carry=carry, batch=batch, refills=one[:, 0])

    def loss(self, forward: Callable[..., Any], state: TextSlots, step: int) -> tuple[TextSlots, Loss]:
        """One round of every slot."""
        self.model.train()
        # Every rank draws its own dropout: the numbers of its slots differ from the others'.
        self.model.draw_dropout_from((self.seed ^ _DROPOUT_STREAM) + (step << 20) + int(self.slots[0]))
        state = state.refill(self._take)
        with weights_cast_once(self.model, self.model.compute_dtype):
            after, loss = supervised_segment(
                forward,
                state,
                state.batch.labels,
                step=step,
                slots=self.slots,
                halting=self.halting,
                seed=self.seed,
                loss="softmax",
            )
        count = torch.full((), len(self.slots), dtype=torch.int64, device=self.model.device)
        return after, Loss(total=loss.total, count=count, metrics=_metrics(loss, count))

    def validate(self) -> dict[str, float]:
        """Accuracy with halting as in use, with every round run, and after each round."""
        self.model.eval()
        labels, steps = self.validation.labels, self.halting.max_steps
        rounds = think_all_rounds(self.model, self.validation.rows, steps)
        stopped = rounds.halted_at(HaltRule.of("q", self.halting))
        said = rounds.classes[np.arange(len(labels)), stopped]
        accuracy = rounds.accuracy(labels)
        return {
            "accuracy": float((said == labels).mean()),
            "accuracy_fixed": accuracy[-1],
            "macro_f1": macro_f1(said, labels),
            "mean_steps": float(stopped.mean()) + 1,
            **{f"accuracy_step_{number}": value for number, value in enumerate(accuracy, 1)},
        }

    def _take(self, slots: Tensor, refills: Tensor) -> TextBatch:
        """The next texts of K local slots that have had `refills` [K] texts each."""
        items = refills.cpu().numpy() * self.batch_size + self.slots[slots.cpu().numpy()]
        return self.train.items(items, self.seed, self.mask_rate).to(self.model.device)


def _metrics(loss: SegmentLoss, slots: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    metrics = {
        "class_loss": (loss.lm_loss, slots),
        "q_halt_loss": (loss.q_halt_loss, slots),
        "accuracy": (loss.accuracy, loss.count),
        "q_halt_accuracy": (loss.q_halt_accuracy, loss.count),
        "mean_steps": (loss.steps, loss.count),
    }
    if loss.q_continue_loss is not None:
        metrics["q_continue_loss"] = (loss.q_continue_loss, slots)
    return metrics
