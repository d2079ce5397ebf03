"""What the trainer needs to know of a language model: rows of tokens, the loss of the next one, a validation.

Shapes: B local rows of this rank, L positions of a row, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.token_rows import RowSource, TokenRows
from thinkling.lm.hf_files import write_hf_files
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import TOKENIZER
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.linear_cross_entropy import linear_cross_entropy
from thinkling.nn.precision import ComputeDtype, resolve_dtype
from thinkling.training.distributed import check_divisible
from thinkling.training.objective import Loss, Shard


class NextTokenObjective:
    """Predicting the next token of packed rows, before and after conversations come in.

    The slots have no state of their own: which rows a step shows is a function of the source's seed and the step.

    Args:
        model: the network, on its device.
        tokenizer: of the model; written into the run folder.
        source: where rows come from.
        batch_size: rows of a step (of a part of one, where gradients are accumulated) over all ranks.
        validate: scores the model on held-out text; it is in evaluation mode and without gradient then.
        validation_metric: key of what `validate` returns that chooses the best weights; higher is better.
        shard: this rank's part.
        description: stored in the run's config.json.
        z_loss: weight of the squared logarithm of the softmax's denominator; 0: none.
        compute_dtype: dtype of matrix products.
        after_validation: called on the first rank after every validation, for instance to print samples.
    """

    counted = "tokens"
    held_out = True

    def __init__(
        self,
        model: Decoder,
        tokenizer: ChatTokenizer,
        source: RowSource,
        *,
        batch_size: int,
        validate: Callable[[], dict[str, float]],
        validation_metric: str,
        shard: Shard | None = None,
        description: Mapping[str, Any] | None = None,
        z_loss: float = 0.0,
        compute_dtype: ComputeDtype = "auto",
        after_validation: Callable[[], None] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.source = source
        self.batch_size = batch_size
        self.validation_metric = validation_metric
        self.shard = shard or Shard()
        check_divisible(batch_size, self.shard)
        self.description = dict(description or {})
        self.z_loss = z_loss
        self._score, self._after_validation = validate, after_validation
        model.compute_dtype = resolve_dtype(compute_dtype, model.device)

    def units(self) -> Sequence[nn.Module]:
        """The decoder's layers: what is gathered at a time where the model is divided over ranks."""
        return list(self.model.model.layers)

    def fresh_state(self) -> None:
        """Nothing."""

    def loss(self, forward: Callable[..., Any], state: None, step: int) -> tuple[None, Loss]:
        """The next-token loss of a step's rows; the mean is taken over all tokens that are asked for."""
        rows = self.source.rows(step, self.shard.local(self.batch_size), self.batch_size)
        return None, next_token_loss(self.model, forward, rows, z_loss=self.z_loss)

    def state_tensors(self, state: None) -> dict[str, Tensor]:
        """Nothing to save."""
        return {}

    def restore_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to restore."""

    def restarted_state(self, state: None) -> None:
        """Nothing to start anew: the next step shows other rows anyway."""

    def validate(self) -> dict[str, float]:
        """The score on held-out text."""
        metrics = self._score()
        if self._after_validation is not None and self.shard.rank == 0:
            self._after_validation()
        return metrics

    def describe(self) -> dict[str, Any]:
        """What the run is, for config.json."""
        return self.description

    def write_files(self, folder: Path) -> None:
        """The tokenizer, and what other programs open the folder by."""
        self.tokenizer.save(folder / TOKENIZER)
        write_hf_files(folder, self.tokenizer, self.model.config)


def next_token_loss(
    model: Decoder, forward: Callable[..., Any], rows: TokenRows, *, z_loss: float = 0.0
) -> Loss:
    """The summed cross-entropy of rows [K, L] over the positions at which something is asked.

    Args:
        model: whose output layer is used.
        forward: the model, or its wrapper that shares gradients between ranks.
        rows: the rows.
        z_loss: see `linear_cross_entropy`; it is part of the total, not of the metric.
    """
    inputs, labels, documents = (
        torch.from_numpy(array).to(model.device) for array in (rows.inputs, rows.labels, rows.documents)
    )
    with weights_cast_once(model, model.compute_dtype):
        hidden = forward(inputs, documents)
        total, losses, right = linear_cross_entropy(
            hidden.flatten(0, 1), model.model.embed_tokens.weight, labels.flatten(), z_loss=z_loss
        )
    count = (labels >= 0).sum()
    return Loss(
        total=total,
        count=count,
        metrics={"lm_loss": (losses.sum(), count), "token_accuracy": (right.sum(), count)},
    )
