"""What the trainer needs to know of Thinking-BERT: slots that take masked rows, one round's loss, a validation.

Shapes: B local slots of this rank, L positions of a row, P places to be predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.data.masking import MaskingConfig
from thinkling.data.text_store import TextStore
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype, resolve_dtype
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.slots import Slots
from thinkling.thinking.supervision import HaltTarget, SegmentLoss, supervised_segment
from thinkling.thinking_bert.evaluate import evaluate
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.rows import MaskedRows, Stage, check_stages
from thinkling.thinking_bert.text_slots import TextObjective, TextSlots
from thinkling.training.distributed import check_divisible
from thinkling.training.objective import Loss, Shard

VALIDATION_SEED = 20
"""Masks of the rows that models are scored on: the same for all."""


class MaskedLanguageObjective(TextObjective[ThinkingBert]):
    """Masked-language modelling in which every round has its own loss and rows halt by their Q values.

    Slot s of a stage takes the rows s, s + batch size, s + 2 * batch size … of the stage's order, whenever it halts.
    At the border of two stages the slots, which then have another shape, start anew.

    Args:
        model: the network, on its device.
        store: the tokenised corpus.
        stages: the curriculum, short rows first.
        masking: of the training rows.
        scored_masking: of the rows that are scored.
        halting: adaptive computation time.
        halt_target: what the halt value predicts.
        validation_rows: rows scored at a validation.
        steps: training steps, over which the stages are spread.
        seed: of data order, masks and exploration.
        shard: this rank's part.
        description: stored in the run's config.json.
        compute_dtype: dtype of matrix products.
    """

    validation_metric = "masked_accuracy"

    def __init__(
        self,
        model: ThinkingBert,
        store: TextStore,
        *,
        stages: Sequence[Stage],
        masking: MaskingConfig,
        scored_masking: MaskingConfig,
        halting: HaltingConfig,
        halt_target: HaltTarget,
        validation_rows: int,
        steps: int,
        seed: int,
        shard: Shard | None = None,
        description: Mapping[str, Any] | None = None,
        compute_dtype: ComputeDtype = "auto",
    ) -> None:
        super().__init__(model, store.tokenizer, description)
        self.stages = tuple(stages)
        check_stages(self.stages)
        self.shard = shard or Shard()
        for stage in self.stages:
            check_divisible(stage.batch_size, self.shard)
        self.rows = [MaskedRows(store.train, store.tokenizer, stage.length, masking) for stage in self.stages]
        self.halting = halting
        self.halt_target: HaltTarget = halt_target
        self.seed = seed
        borders = np.cumsum([stage.share for stage in self.stages])[:-1] * steps
        self.first_steps = [1, *(1 + round(float(border)) for border in borders)]
        model.compute_dtype = resolve_dtype(compute_dtype, model.device)
        held_out = MaskedRows(store.validation, store.tokenizer, self.stages[-1].length, scored_masking)
        self.validation = held_out.scored(validation_rows, VALIDATION_SEED)

    @property
    def batch_size(self) -> int:
        """Rows of the last stage over all ranks."""
        return self.stages[-1].batch_size

    def fresh_state(self) -> TextSlots:
        """Halted slots of the first stage that have taken no row yet."""
        return self._fresh(0)

    def loss(self, forward: Callable[..., Any], state: TextSlots, step: int) -> tuple[TextSlots, Loss]:
        """One round of every slot."""
        self.model.train()
        number = sum(first <= step for first in self.first_steps) - 1
        stage = self.stages[number]
        if state.batch.inputs.shape[1] != stage.length:
            state = self._fresh(number)
        slots = self._slots(stage)

        def take(empty: Tensor, refills: Tensor) -> TextBatch:
            items = refills.cpu().numpy() * stage.batch_size + slots[empty.cpu().numpy()]
            return self.rows[number].items(items, self.seed + number).to(self.model.device)

        state = state.refill(take)
        with weights_cast_once(self.model, self.model.compute_dtype):
            after, loss = supervised_segment(
                forward,
                state,
                state.batch.labels,
                step=step,
                slots=slots,
                halting=self.halting,
                seed=self.seed,
                loss="softmax",
                halt_target=self.halt_target,
            )
        count = torch.full((), len(slots), dtype=torch.int64, device=self.model.device)
        return after, Loss(total=loss.total, count=count, metrics=_metrics(loss, count))

    def validate(self) -> dict[str, float]:
        """Masked-token accuracy with halting as in use, and after every round."""
        score = evaluate(self.model, self.validation, self.halting)
        return {
            "masked_accuracy": score.masked_accuracy,
            "mean_steps": score.mean_steps,
            "masked_perplexity": score.masked_perplexity,
            **{f"masked_accuracy_{step}": value for step, value in enumerate(score.accuracy_by_step, 1)},
        }

    def _slots(self, stage: Stage) -> NDArray[np.int64]:
        return np.arange(stage.batch_size, dtype=np.int64)[self.shard.local(stage.batch_size)]

    def _fresh(self, number: int) -> TextSlots:
        stage = self.stages[number]
        local, device = len(self._slots(stage)), self.model.device
        one = self.rows[number].items(np.zeros(1, dtype=np.int64), self.seed).to(device)
        return Slots(
            carry=self.model.fresh_carry(local, stage.length),
            batch=one.select(torch.zeros(local, dtype=torch.int64, device=device)),
            refills=torch.zeros(local, dtype=torch.int64, device=device),
        )


def _metrics(loss: SegmentLoss, slots: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    nothing = torch.zeros_like(slots)
    continues = (nothing, nothing) if loss.q_continue_loss is None else (loss.q_continue_loss, slots)
    return {
        "lm_loss": (loss.lm_loss, slots),
        "q_halt_loss": (loss.q_halt_loss, slots),
        "q_continue_loss": continues,
        "masked_accuracy": (loss.accuracy, loss.count),
        "mean_steps": (loss.steps, loss.count),
    }
