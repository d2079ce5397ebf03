"""What a recipe of Thinking-BERT is: everything a training run needs except the corpus."""

from __future__ import annotations

from dataclasses import dataclass, field

from thinkling.data.masking import MaskingConfig
from thinkling.errors import InputError
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.supervision import HaltTarget
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.rows import SCORED_MASK_RATE, Stage, check_stages
from thinkling.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ThinkingBertRecipe:
    """How to pre-train a Thinking-BERT."""

    model: ThinkingBertConfig = field(default_factory=ThinkingBertConfig)
    """Architecture; its vocabulary is that of the tokenizer, which is trained when the corpus is read."""
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    """Adaptive computation time; max_steps is the number of rounds (N)."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Steps, optimiser, schedule, checkpoints."""
    stages: tuple[Stage, ...] = (Stage(length=128, batch_size=64, share=1.0),)
    """The curriculum: rows of growing length, each length with its own batch size."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """Which tokens of a training row are masked, and how."""
    scored_mask_rate: float = SCORED_MASK_RATE
    """Share of the tokens that is masked in the rows that are scored, whatever the training rate."""
    halt_target: HaltTarget = "share"
    """What the halt value predicts: the share of masked tokens that are right, or that all are."""
    validation_rows: int = 256
    """Held-out rows scored at a validation."""

    def __post_init__(self) -> None:
        check_stages(self.stages)
        if self.stages[-1].length > self.model.max_length:
            raise InputError(
                f"a stage of length {self.stages[-1].length} for a model of {self.model.max_length}",
                f"at most {self.model.max_length}",
                "change stages or model.max_length",
            )
        if self.validation_rows < 1:
            raise InputError(f"validation_rows {self.validation_rows}", "1 or more", "set validation_rows")
