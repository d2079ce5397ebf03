"""What a recipe of pre-training is: everything a training run needs except the corpora."""

from __future__ import annotations

from dataclasses import dataclass, field

from thinkling.data.mixture import Phase, check_phases
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.training.config import TrainConfig

CURRICULUM = (Phase(share=0.3), Phase(share=0.6), Phase(share=0.1))
"""The stages of training, 0-30 %, 30-90 % and the last 10 %; without weights every corpus counts by its size."""


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """How to pre-train a language model on text."""

    model: DecoderConfig = field(default_factory=DecoderConfig)
    """Architecture; its vocabulary is that of the tokenizer, which is trained where a corpus is plain text."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, optimiser, schedule, checkpoints."""
    length: int = 1024
    """Tokens of a row, into which documents are packed."""
    batch_size: int = 16
    """Rows of a step over all processes; of a part of one, where gradients are accumulated."""
    phases: tuple[Phase, ...] = CURRICULUM
    """The curriculum: from which corpus how many rows come, by stage of training."""
    z_loss: float = 0.0
    """Weight of the squared logarithm of the softmax's denominator (0: off); 1e-4 in PaLM."""
    checkpointing: bool = False
    """Whether the backward pass computes each layer again instead of keeping what it needs: less memory, more time."""
    validation_rows: int = 64
    """Held-out rows of each corpus that are scored at a validation."""
    validation_tasks: tuple[str, ...] = ()
    """Generated tasks, such as sum or compare, of which a few problems are asked at a validation."""
    sample_prompts: tuple[str, ...] = ("", "The ", "In this ")
    """Beginnings of texts that are continued and shown at a validation; an empty one is that of any text."""
    sample_tokens: int = 40
    """Tokens of such a continuation."""
    sample_temperature: float = 0.8
    """Temperature of its draws."""

    def __post_init__(self) -> None:
        check_phases(self.phases)
        if not 2 <= self.length <= self.model.max_length:
            raise InputError(
                f"rows of length {self.length} for a model of {self.model.max_length}",
                f"2 to {self.model.max_length}",
                "change length or model.max_length",
            )
        for name in ("batch_size", "validation_rows", "sample_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set {name}")
        for name in ("z_loss", "sample_temperature"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}", "0 or more", f"set {name}")

    @property
    def tokens(self) -> int:
        """Positions that the whole training shows."""
        return self.train.steps * self.train.accumulation * self.batch_size * self.length
