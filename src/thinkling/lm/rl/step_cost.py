"""What one step of reinforcement learning takes on this machine, measured by making one."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.model import Decoder
from thinkling.lm.rl.objective import GrpoObjective
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import Prompt, SeededPrompts
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.tasks.reward import Reward
from thinkling.training.update import Update

STEPS = 2
"""Steps that are made: the first one also takes memory from the system and fills caches, the last one counts."""

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = "VmHWM:"
_RESET_PEAK = "5"


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What a step takes, dynamic sampling, divergence and optimiser included."""

    rollout_seconds: float
    """Time to write and judge the completions of a rollout."""
    update_seconds: float
    """Time of one update of the weights."""
    seconds_per_step: float
    """Time of a step: one update, and its share of a rollout."""
    memory_bytes: int
    """Highest memory: of the GPU, or of this process where there is none."""


def measured_step(
    model: Decoder, tokenizer: ChatTokenizer, prompts: Sequence[Prompt], reward: Reward, recipe: GrpoRecipe
) -> StepCost:
    """Make two steps of training whose updates change nothing, since all rates are 0.

    The weights are the same bits afterwards; gradients are let go.

    Args:
        model: the network, on its device and in the recipe's compute dtype.
        tokenizer: its tokenizer.
        prompts: what is asked.
        reward: judges completions.
        recipe: how to train. Parts of a step (`train.accumulation`) are made one after the other.
    """
    config = replace(recipe.train, learning_rate=0.0, muon_learning_rate=0.0, weight_decay=0.0, ema_decay=0.0)
    parts, checkpointing = config.accumulation, model.checkpointing
    model.checkpointing = recipe.checkpointing
    objective = GrpoObjective(
        model,
        _copied(model) if recipe.grpo.kl_beta else None,
        tokenizer,
        SeededPrompts(prompts, config.seed),
        reward,
        recipe.grpo,
        engine=PolicyEngine(model, tokenizer, slots=recipe.slots, compile=recipe.compile),
        validate=dict,
        validation_metric="",
        longest=model.config.max_length,
        run=Path(),
        seed=config.seed,
        parts=parts,
        compute_dtype=config.compute_dtype,
        guard_action="off",
    )
    update, state = Update(model, config), objective.fresh_state()
    model.train()
    rollout = whole = 0.0
    with PeakMemory(model.device) as peak:
        for step in range(STEPS):
            begun = time.perf_counter()
            update.clear()
            for part in range(1, parts + 1):
                # The first update of a rollout, whatever their number: a later one takes as long, but draws nothing.
                number = step * recipe.grpo.updates_per_rollout * parts + part
                state, loss = objective.loss(model, state, number)
                loss.total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
                if part == 1:
                    rollout = float(loss.metrics["rollout_seconds"][0])
            if update.gradients_finite(update.gradient_norm()):  # 0 times infinity is no number
                update.apply(1, 0.0)
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            whole = time.perf_counter() - begun
    update.clear()
    model.checkpointing = checkpointing
    model.eval()
    update_seconds = max(0.0, whole - rollout)
    return StepCost(
        rollout_seconds=rollout,
        update_seconds=update_seconds,
        seconds_per_step=rollout / recipe.grpo.updates_per_rollout + update_seconds,
        memory_bytes=peak.bytes,
    )


class PeakMemory:
    """The highest memory inside the block, of the GPU or of the process.

    Where a process cannot forget its former peak (anywhere but on Linux), it is the highest since it began.

    Attributes:
        bytes: the result, after the block.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with contextlib.suppress(OSError):
                _RESET.write_text(_RESET_PEAK)
        return self

    def __exit__(self, *error: object) -> None:
        on_gpu = self._device.type == "cuda"
        self.bytes = torch.cuda.max_memory_allocated(self._device) if on_gpu else _process_peak()


def _process_peak() -> int:
    """Bytes; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _copied(model: Decoder) -> Decoder:
    with torch.device("meta"):
        copy = Decoder(model.config)
    copy.to_empty(device=model.device)
    copy.load_state_dict(model.state_dict())
    return copy
