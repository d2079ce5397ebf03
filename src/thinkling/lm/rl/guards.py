"""What ends reinforcement learning that has gone wrong while its loss stays finite.

A policy can collapse in ways that no loss shows: its entropy vanishes (Yu et al. 2025, DAPO, arXiv 2503.14476, section
3.1), it stops thinking, it writes until it is cut off, it repeats itself, or it earns the format's reward only. Each
step is measured, a window of steps is compared with the first ones, and who trains decides what a fault leads to.

Shapes: N completions, S positions, W steps of the window, M measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from thinkling.artifacts.checkpoint import load_checkpoint
from thinkling.artifacts.run_folder import RunFolder, newest_complete
from thinkling.artifacts.weights import load_into
from thinkling.errors import InputError, TrainingStoppedError

GuardAction: TypeAlias = Literal["off", "stop", "rollback"]
"""What a fault leads to: nothing, the end of training, or the best weights so far and then new prompts."""
FaultName: TypeAlias = Literal["entropy", "length", "truncated", "repeated", "format_only"]
"""What may go wrong."""

_ADVICE: dict[FaultName, str] = {
    "entropy": "lower the learning rate, or raise clip_high or kl_beta",
    "length": "lower the learning rate, or raise kl_beta",
    "truncated": "raise max_tokens, or set overlong_buffer or think_budget",
    "repeated": "lower the learning rate, or raise kl_beta",
    "format_only": "lower format_weight, or train on easier problems, which `thinkling lm preflight` finds",
}
_FALLS: tuple[FaultName, ...] = ("entropy", "length")
_RISES: dict[FaultName, str] = {
    "truncated": "answers that were cut off",
    "repeated": "answers that repeat themselves",
    "format_only": "answers that earn the format's reward only",
}


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a step's completions are like: means over all of them, on all ranks."""

    reward: float
    """Reward for right answers, that for the format not counted; 0 to 1."""
    entropy: float
    """Entropy of the tokens' distribution in nats."""
    length: float
    """Tokens."""
    truncated: float
    """Share that did not end by itself."""
    repeated: float
    """Share that says the same again and again; see `repeated_text`."""
    format_only: float
    """Share that earns the format's reward and nothing for its answer."""


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """When training is taken to have gone wrong.

    Entropy and length may fall where the reward rises, which is what learning looks like. They count as collapsed
    where the window's reward is not `reward_margin` above that of the first steps, or is as much below the best one.
    """

    baseline_steps: int = 3
    """Steps at the beginning that later ones are compared with."""
    window: int = 8
    """Steps whose mean is judged."""
    entropy_share: float = 0.1
    """Collapsed below this share of the entropy of the first steps."""
    length_share: float = 0.33
    """Collapsed below this share of the length of the first steps."""
    reward_margin: float = 0.05
    """How much the reward must have risen for entropy and length to be free to fall; 0 to 1."""
    truncated: float = 0.5
    """Highest share of truncated answers; or `rise` above that of the first steps, if that is more."""
    repeated: float = 0.2
    """Highest share of answers that repeat themselves; or `rise` above that of the first steps."""
    format_only: float = 0.6
    """Highest share of answers with the format's reward only; or `rise` above that of the first steps."""
    rise: float = 0.2
    """How far above that of the first steps a share may be, up to 0.98; a limit of 1 itself is never exceeded."""
    max_rollbacks: int = 2
    """Roll-backs after which the next fault ends training."""

    def __post_init__(self) -> None:
        """Refuses limits that cannot work.

        Raises:
            InputError: naming the first one out of its range.
        """
        for name, least in (("baseline_steps", 1), ("window", 1), ("max_rollbacks", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}", f"{least} or more", f"set {name}")
        for name in (
            "entropy_share",
            "length_share",
            "reward_margin",
            "truncated",
            "repeated",
            "format_only",
            "rise",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)}", "0 to 1", f"set {name}")


@dataclass(frozen=True, kw_only=True)
class GuardState:
    """What the guard remembers: a value, saved and restored with the run."""

    first: tuple[Measures, ...] = ()
    """The first steps."""
    recent: tuple[Measures, ...] = ()
    """The last steps, since the last roll-back."""
    best_reward: float = -math.inf
    """The highest reward of a full window."""
    rollbacks: int = 0
    """Roll-backs so far."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What has gone wrong."""

    name: FaultName
    """Which measure."""
    text: str
    """What was measured and what is allowed, in words."""
    advice: str
    """What the user can change."""


class CollapseGuard:
    """Judges the steps of a run; its memory is a value that the run keeps."""

    def __init__(self, limits: GuardLimits | None = None) -> None:
        self.limits = limits or GuardLimits()

    def judge(self, state: GuardState, measured: Measures) -> tuple[GuardState, Fault | None]:
        """Take a step into account, and say whether the run has gone wrong.

        A step with a measure that is not finite is left out: the trainer's own guard deals with it.

        Args:
            state: what was remembered before the step; not changed.
            measured: the step, the same on every rank.
        """
        if not all(map(math.isfinite, astuple(measured))):
            return state, None
        limits = self.limits
        if len(state.first) < limits.baseline_steps:
            return replace(state, first=(*state.first, measured)), None
        recent = (*state.recent, measured)[-limits.window :]
        state = replace(state, recent=recent)
        if len(recent) < limits.window:
            return state, None
        window = _mean(recent)
        fault = self._fault(_mean(state.first), window, state.best_reward)
        return replace(state, best_reward=max(state.best_reward, window.reward)), fault

    def _fault(self, first: Measures, window: Measures, best_reward: float) -> Fault | None:
        limits = self.limits
        falls = _FALLS if not self._paid(first.reward, window.reward, best_reward) else ()
        for name in falls:
            value, before, share = (
                getattr(window, name),
                getattr(first, name),
                getattr(limits, f"{name}_share"),
            )
            if value < share * before:
                text = (
                    f"{name} {value:.3g} (mean of {limits.window} steps) is below {share:.0%} of the {before:.3g} "
                    f"of the first steps, and the reward went from {first.reward:.3g} to {window.reward:.3g}"
                )
                return Fault(name=name, text=text, advice=_ADVICE[name])
        for name, what in _RISES.items():
            value, before = getattr(window, name), getattr(first, name)
            most = max(getattr(limits, name), min(before + limits.rise, _NEARLY_ALL))
            if value > most:
                text = (
                    f"{value:.0%} {what} (mean of {limits.window} steps), more than {most:.0%} "
                    f"({before:.0%} in the first steps)"
                )
                return Fault(name=name, text=text, advice=_ADVICE[name])
        return None

    def _paid(self, first: float, now: float, best: float) -> bool:
        """Whether the reward has risen enough for entropy and length to fall."""
        margin = self.limits.reward_margin
        return now >= min(first + margin, 1 - margin) and now >= best - margin

    def state_tensor(self, state: GuardState) -> Tensor:
        """The state as numbers, to be saved; always [(1 + baseline_steps + window) M] fp64."""
        limits = self.limits
        header = [len(state.first), len(state.recent), state.best_reward, state.rollbacks]
        rows = [[*header, *[0.0] * (_MEASURES - len(header))]]
        for kept, places in ((state.first, limits.baseline_steps), (state.recent, limits.window)):
            rows += [list(astuple(one)) for one in kept]
            rows += [[0.0] * _MEASURES] * (places - len(kept))
        return torch.tensor(rows, dtype=torch.float64).flatten()

    def restored(self, tensor: Tensor) -> GuardState:
        """The inverse of `state_tensor`.

        Raises:
            InputError: it was saved under other limits.
        """
        limits = self.limits
        places = 1 + limits.baseline_steps + limits.window
        if tensor.numel() != places * _MEASURES:
            raise InputError(
                f"a guard's state of {tensor.numel()} numbers",
                f"{places * _MEASURES}, for baseline_steps {limits.baseline_steps} and window {limits.window}",
                "resume with the limits that the run began with",
            )
        rows = tensor.double().view(places, _MEASURES).tolist()
        count, recent, best, rollbacks = rows[0][:4]
        measures = [Measures(**dict(zip(_NAMES, row, strict=True))) for row in rows[1:]]
        begin = limits.baseline_steps
        return GuardState(
            first=tuple(measures[: int(count)]),
            recent=tuple(measures[begin : begin + int(recent)]),
            best_reward=best,
            rollbacks=int(rollbacks),
        )

    def act(
        self,
        action: GuardAction,
        state: GuardState,
        fault: Fault,
        *,
        step: int,
        model: nn.Module,
        run: Path,
        warn: Callable[[str], None],
    ) -> GuardState:
        """Do what a fault leads to. Under torchrun to be called on every rank with the same fault.

        Args:
            action: what the user chose.
            state: what the guard remembers.
            fault: what has gone wrong.
            step: where.
            model: its weights are replaced on a roll-back; the optimiser's state stays.
            run: the run folder, whose best checkpoint is rolled back to.
            warn: tells the user of a roll-back, or of a fault that is left alone.

        Returns:
            what the guard remembers from now on.

        Raises:
            TrainingStoppedError: training shall end.
        """
        if action == "off":
            warn(f"step {step}: {fault.text}; {fault.advice}")
            return replace(state, recent=())
        best = newest_complete(RunFolder(run).checkpoints, "best")
        good = "no validation has kept any weights yet" if best is None else f"the weights in {best} are good"
        if action == "rollback" and best is not None and state.rollbacks < self.limits.max_rollbacks:
            checkpoint = load_checkpoint(best)
            load_into(model, checkpoint.weights)
            warn(
                f"step {step}: {fault.text}; weights rolled back to those of step {checkpoint.state['step']}"
            )
            return replace(state, recent=(), rollbacks=state.rollbacks + 1)
        after = f" after {state.rollbacks} roll-backs" if state.rollbacks else ""
        raise TrainingStoppedError(
            f"training stopped at step {step}{after}: {fault.text}; {good}; {fault.advice}"
        )


def repeated_text(
    tokens: Tensor, lengths: Tensor, *, longest_period: int = 64, least: int = 24, copies: int = 4
) -> Tensor:
    """Which completions say the same tokens again and again, at any place.

    A completion repeats itself where some piece of at most `longest_period` tokens comes `copies` times in a row, over
    `least` tokens or more: short runs of equal digits or of padding zeros are no loop.

    Args:
        tokens: [N, S] completions, without their prompts.
        lengths: [N] how many of a row's tokens are real.
        longest_period: longest piece, in tokens.
        least: shortest stretch that counts, in tokens.
        copies: how often a piece has to come in a row.

    Returns:
        [N] bool.
    """
    inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    found = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period in range(1, min(longest_period, tokens.shape[1] - 1) + 1):
        # Position i says what position i - period said; a run of them is a piece that comes again.
        same = (tokens[:, period:] == tokens[:, :-period]) & inside[:, period:]
        run = max((copies - 1) * period, least - period)
        if run > same.shape[1]:
            continue
        summed = torch.nn.functional.pad(same.cumsum(1), (1, 0))
        found |= (summed[:, run:] - summed[:, :-run] == run).any(1)
    return found


_NAMES = ("reward", "entropy", "length", "truncated", "repeated", "format_only")
_MEASURES = len(_NAMES)
_NEARLY_ALL = 0.98


def _mean(steps: tuple[Measures, ...]) -> Measures:
    return Measures(**{name: math.fsum(getattr(one, name) for one in steps) / len(steps) for name in _NAMES})
