"""How a language model is trained by reinforcement: everything a run needs except model and problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from thinkling.errors import InputError
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.guards import GuardAction, GuardLimits
from thinkling.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class GrpoRecipe:
    """How to train a language model by reinforcement; the architecture is that of the model to start from."""

    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=300,
            optimizer="adamw",
            learning_rate=6e-4,
            warmup_steps=5,
            min_lr_ratio=0.1,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            decay_biases=False,
            grad_clip=1.0,
            log_every=1,
            validate_every=20,
            patience=6,  # of 15 validations: a held-out plateau ends training
            checkpoint_every=20,
        )
    )
    """Optimiser, schedule, checkpoints; a step is one update. With `accumulation` the completions of a rollout are
    shared out over so many parts of a step. In float32 the log-probabilities of sampler and trainer differ by less than
    1e-4; in bfloat16, which auto takes where it is faster, those of single tokens by a tenth."""
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    """How completions are drawn and learned from."""
    reward: str = "task"
    """Who judges: task (the judge of each problem's own task, or text where it has none), exact, math, code, or
    gym:NAME."""
    slots: int = 256
    """Completions that a process writes at once."""
    compile: bool = False
    """Whether kernels that this machine's C++ compiler makes first write the completions: on a CPU it is faster."""
    validation_share: float = 0.05
    """Share of the problems that is cut off to choose the best weights by, where the data has no validation file."""
    validation_problems: int = 200
    """Most problems that are asked at a validation."""
    validation_samples: int = 2
    """Answers that are sampled for each of them, beside the greedy one."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass instead of being kept."""
    guard: GuardAction = "stop"
    """What happens when the policy collapses: off (a warning), stop, or rollback to the best weights so far."""
    limits: GuardLimits = field(default_factory=GuardLimits)
    """What counts as a collapse."""

    def __post_init__(self) -> None:
        for name in ("slots", "validation_problems", "validation_samples"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}", "1 or more", f"set {name}")
        if not 0 < self.validation_share < 1:
            raise InputError(
                f"validation_share {self.validation_share}",
                "between 0 and 1, both excluded",
                "set validation_share",
            )
        completions = self.grpo.prompts_per_step * self.grpo.group_size
        if self.train.accumulation > completions:
            raise InputError(
                f"accumulation {self.train.accumulation} of {completions} completions",
                f"1 to {completions}, the completions of a rollout",
                "set train.accumulation",
            )


def default() -> GrpoRecipe:
    """For the laptop sizes; the rate was tried on one million parameters, and wants to be lower for more."""
    return GrpoRecipe()


RECIPES: dict[str, Callable[[], GrpoRecipe]] = {"lm-grpo": default}
"""A function that makes each recipe, by its name on the command line."""
