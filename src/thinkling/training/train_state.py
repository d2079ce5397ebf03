"""What a run must remember to go on as if it had never stopped, and how that becomes files and back.

Data order and every random draw are functions of (seed, step) or (seed, item), so no generator has to be
saved for them; torch's own generator is saved all the same, for any objective that draws from it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from thinkling.artifacts.checkpoint import resumable
from thinkling.artifacts.run_folder import RunFolder
from thinkling.errors import InputError
from thinkling.training.config import TrainConfig
from thinkling.training.early_stopping import Plateau
from thinkling.training.guards import Guard

Stopped = Literal["done", "time", "plateau", "signal"]


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    """Steps made."""
    seconds: float = 0.0
    """Training time over all sessions, validation not counted."""
    validation_seconds: float = 0.0
    """Time spent in validation."""
    validated_step: int = -1
    """Step of the last validation (-1: none yet)."""
    validated_seconds: float = 0.0
    """Training time at the last validation."""
    best_step: int = -1
    """Step of the best validation (-1: none yet)."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """What the best validation reported."""
    guard: Guard = field(default_factory=Guard)
    """Counts of poisoned steps."""
    plateau: Plateau = field(default_factory=Plateau)
    """Counts of validations that brought nothing."""

    def why_stop(self, config: TrainConfig, asked: bool) -> Stopped | None:
        """Why the run ends here, or None while it goes on; `asked`: somebody sent a signal."""
        if self.step >= config.steps:
            return "done"
        if config.time_limit_seconds and self.seconds >= config.time_limit_seconds:
            return "time"
        if config.patience and self.plateau.validations >= config.patience:
            return "plateau"
        return "signal" if asked else None

    def validation_due(self, config: TrainConfig) -> bool:
        """Whether it is time to validate, by steps or by the clock."""
        by_step = config.validate_every and self.step % config.validate_every == 0
        passed = self.seconds - self.validated_seconds
        return bool(by_step or (config.validate_every_seconds and passed >= config.validate_every_seconds))

    def share(self, config: TrainConfig) -> float:
        """How much of the run is over, by steps or by the clock, 0 to 1."""
        limit = config.time_limit_seconds
        return min(1.0, max(self.step / config.steps, self.seconds / limit if limit else 0.0))

    def to_json(self) -> dict[str, Any]:
        """As JSON, torch's generator included."""
        generator = base64.b64encode(bytes(torch.get_rng_state().tolist())).decode("ascii")
        return asdict(self) | {"torch_generator": generator}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Progress:
        """The inverse of `to_json`; also sets torch's generator.

        Raises:
            InputError: the saved state does not have the fields this version writes.
        """
        values = dict(state)
        try:
            generator = base64.b64decode(values.pop("torch_generator"))
            plateau = Plateau(**values.get("plateau", {}))  # runs of before there was one have none
            progress = cls(**values | {"guard": Guard(**values["guard"]), "plateau": plateau})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"train_state.json with unexpected contents ({error})",
                "one written by this version",
                "train anew",
            ) from None
        torch.set_rng_state(torch.tensor(list(generator), dtype=torch.uint8))
        return progress


def checkpoint_to_resume(run: RunFolder, resume: bool) -> Path | None:
    """The checkpoint that a call of `train` goes on from; None where it starts at the beginning.

    Raises:
        InputError: the folder holds something that training would overwrite.
    """
    if run.path.exists() and not run.path.is_dir():
        raise InputError(f"{run.path} is not a folder", "a new or an empty folder", "use another --out")
    found = resumable(run.path)
    if run.has_anything() and not (resume and found):
        raise InputError(
            f"{run.path} already holds {'a run' if found else 'a model without checkpoints'}",
            "an empty or new folder, or a run to go on with",
            "add --resume, or use another --out" if found else "use another --out",
        )
    return found


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], where: str) -> None:
    """A resumed run must be the run that was stopped.

    Args:
        old: config.json of the checkpoint.
        new: config.json that this call would write.
        where: name of the run for the message.

    Raises:
        InputError: naming the first key that differs and matters. Lengths, rates and intervals may change;
            what the model is, what the task is, the data, the optimiser and the seed may not.
    """
    before, now = _flat(_identity(old)), _flat(_identity(new))
    for key in [*now, *(key for key in before if key not in now)]:
        if before.get(key) != now.get(key):
            raise InputError(
                f"{key} = {now.get(key)!r}",
                f"{before.get(key)!r}, as in {where}",
                "resume with the same settings, or train into another --out",
            )


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    training, origin = config.get("training", {}), config.get("provenance", {})
    identity = {key: value for key, value in config.items() if key not in ("training", "provenance")}
    for key in ("optimizer", "seed"):
        identity[f"training.{key}"] = training.get(key)
    identity["training.accumulation"] = training.get("accumulation", 1)  # which batches a step has seen
    identity["training.ema"] = bool(training.get("ema_decay"))
    return identity | {"data_sha256": origin.get("data_sha256")}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {
            k: v
            for key, part in value.items()
            for k, v in _flat(part, f"{name}.{key}" if name else key).items()
        }
    return {name: list(value) if isinstance(value, tuple) else value}
