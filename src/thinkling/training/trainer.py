"""The loop that trains every product: step, validate, save, resume, report.

It sees an `Objective` only. Each step: the objective's loss as a sum, of one or several parts, divided by the
count of all parts and ranks; backward; a verdict on whether the result is finite, the same on every rank;
update at the rate of this step; average.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor

from thinkling.artifacts.checkpoint import (
    OPTIMIZER_SHARDS,
    Checkpoint,
    load_checkpoint,
    publish,
    resumable,
    save_checkpoint,
)
from thinkling.artifacts.provenance import provenance
from thinkling.artifacts.run_folder import CONFIG, RunFolder, newest_complete, write_json
from thinkling.artifacts.shards import write_shards
from thinkling.errors import TrainingStoppedError
from thinkling.nn.fused import fault_on, fused_kernels
from thinkling.nn.sharding import is_divided
from thinkling.training import distributed
from thinkling.training.compilation import compile_for_training
from thinkling.training.config import TrainConfig
from thinkling.training.guards import StopRequest
from thinkling.training.metrics import MetricSums
from thinkling.training.objective import Loss, Objective, S, added
from thinkling.training.report import write_report
from thinkling.training.run_log import RunLog
from thinkling.training.sharding import all_whole, divide, gathered_in
from thinkling.training.train_state import Progress, Stopped, check_same, checkpoint_to_resume
from thinkling.training.update import Update


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a call of `train` ended."""

    run: Path
    """The run folder."""
    step: int
    """Last step made."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Validation results of the best weights so far; empty if there was no validation yet."""
    train_seconds: float
    """Training time over all sessions of the run, validation not counted."""
    stopped: Stopped
    """"done": all steps made; "time": the time limit; "plateau": no better validation in the config's
    patience; "signal": asked to stop, to go on with resume."""


def train(
    objective: Objective[S],
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    data_sha256: str | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train until the steps or the time are used up, validations no longer get better, or a signal asks to stop.

    Under torchrun every rank calls this, inside `distributed.process_group()`, with its own shard of the
    objective.

    Args:
        objective: what to train.
        config: how to train.
        run_dir: the run folder; made if need be.
        resume: go on from the newest checkpoint in `run_dir`; from the start where there is none yet.
        data_sha256: content hash of the data, recorded and compared on resume.
        quiet: no progress on standard error.

    Raises:
        InputError: the folder holds a run and `resume` is off; the run is damaged; the settings do not fit
            the run.
        ThinklingError: the run could not be saved.
        TrainingStoppedError: the loss stayed not finite after several roll-backs.
    """
    place = next(objective.model.parameters()).device
    with StopRequest() as stop, fused_kernels(config.fused, place):
        trainer = Trainer(objective, config, RunFolder(run_dir), data_sha256, quiet)
        try:
            return trainer.run(resume, stop)
        finally:
            trainer.close()


class Trainer(Generic[S]):
    """One run of `train`, in small steps."""

    def __init__(
        self,
        objective: Objective[S],
        config: TrainConfig,
        run: RunFolder,
        data_sha256: str | None,
        quiet: bool,
    ) -> None:
        self.objective, self.config, self.folder = objective, config, run
        self.shard = distributed.current_shard()
        distributed.check_divisible(objective.batch_size, self.shard)
        self.model = objective.model
        if config.compile:
            compile_for_training(self.model)
        self.device = next(self.model.parameters()).device
        if config.sharding == "full":
            divide(objective, self.model, self.shard)
        self.forward = distributed.wrapped(self.model, self.shard)
        self.update = Update(self.model, config)
        self.described: dict[str, Any] = dict(objective.describe())
        self.described |= {"training": asdict(config), "provenance": provenance(data_sha256)}
        self.sums = MetricSums(self.device)
        self.log = RunLog(run.metrics, enabled=self.shard.rank == 0, quiet=quiet, counted=objective.counted)
        self.done = Progress()
        self.slots: S
        self.stop_asked = False
        self.examples = 0.0
        self.clock_zero = 0.0

    def run(self, resume: bool, stop: StopRequest) -> TrainResult:
        """Train, and leave the run folder whole."""
        self._begin(resume)
        while (why := self.done.why_stop(self.config, self.stop_asked)) is None:
            self._step(stop)
            if self.done.step % self.config.log_every == 0:
                self._log_row()
            if self.done.validation_due(self.config):
                self._validate()
            if self.config.checkpoint_every and self.done.step % self.config.checkpoint_every == 0:
                self._save()
        if why == "signal":
            self._save()
            self.log.warn(
                f"stopped at step {self.done.step}; the same command with --resume goes on from there"
            )
        else:
            self._finish()
        return TrainResult(
            run=self.folder.path,
            step=self.done.step,
            metrics=dict(self.done.best_metrics),
            train_seconds=self.done.seconds,
            stopped=why,
        )

    def close(self) -> None:
        """Let go of the terminal and of the other ranks; the model stays usable."""
        self.log.close()
        self.forward = self.model
        distributed.collect_wrappers(self.shard)

    # ------------------------------------------------------------------------------------------ begin and end

    def _begin(self, resume: bool) -> None:
        found = checkpoint_to_resume(self.folder, resume)
        if found is None:
            self.slots = self.objective.fresh_state()
        else:
            checkpoint = load_checkpoint(found)
            check_same(checkpoint.config, self.described, str(self.folder.path))
            self.done = Progress.from_json(checkpoint.state)
            self.update.restore(checkpoint)
            self.slots = self.objective.restore_state(distributed.sharded(checkpoint.slots or {}, self.shard))
        self._on_disk(self._prepare_folder)
        if found is not None:
            self.log.note(f"resumed {self.folder.path} at step {self.done.step}")
        else:
            if resume:
                self.log.warn(f"{self.folder.path} has no checkpoint yet; starting at the beginning")
            self._save()  # what the guard rolls back to until there is a later one
        self.model.train()
        if self.device.type == "cuda" and self.config.fused == "auto" and (fault := fault_on(self.device)):
            self.log.note(f"plain operations instead of fused kernels, which do not work here: {fault}")
        if self.config.compile:
            self._compile()
        self.clock_zero = time.perf_counter() - self.done.seconds

    def _compile(self) -> None:
        """One step whose result is thrown away: what is compiled at its first use is, before the clock starts.

        It changes nothing, since a loss is a function of seed, step and slots.
        """
        started = time.perf_counter()
        _, loss = self.objective.loss(self.forward, self.slots, self.done.step + 1)
        self._backward(loss.total)
        self.update.clear()
        self.log.note(f"compiled the segment in {time.perf_counter() - started:.0f} s")

    def _prepare_folder(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        write_json(self.folder.path / CONFIG, self.described)
        self.objective.write_files(self.folder.path)
        self.log.begin(self.done.step, self.done.seconds)

    def _finish(self) -> None:
        """The last validation and checkpoint; the best weights into the run folder; the report."""
        if self.done.validated_step != self.done.step:
            self._validate()
        self._save()
        self._on_disk(self._publish)

    def _publish(self) -> None:
        best = newest_complete(self.folder.checkpoints, "best")
        assert best is not None, "the first validation always makes a best checkpoint"
        publish(best, self.folder.path)
        metric, params = self.objective.validation_metric, self.update.parameter_count()
        write_report(self.folder, self.described, self.done, params=params, metric=metric)

    # ----------------------------------------------------------------------------------------------- one step

    def _step(self, stop: StopRequest) -> None:
        self.done.step += 1
        self.update.clear()
        slots, loss = self._gradients()
        norm = self.update.gradient_norm()
        if not self._agree(loss, self.update.gradients_finite(norm), stop):
            self._skip(slots)
            return
        self.done.guard.judge(poisoned=False)
        self.update.apply(self.done.step, self.done.seconds)
        self.slots = slots
        self.sums.add(
            {"loss": (loss.total, loss.count), "grad_norm": (norm, torch.ones_like(norm)), **loss.metrics}
        )

    def _gradients(self) -> tuple[S, Loss]:
        """Those of the mean over all rows of the step: its slots afterwards and its loss.

        Nothing is read on the host here: a read would leave a GPU without work.
        """
        parts = self.config.accumulation
        if parts == 1:
            slots, loss = self.objective.loss(self.forward, self.slots, self.done.step)
            self._backward(loss.total * self._share_of_one(loss))
            return slots, loss
        slots, losses = self.slots, []
        for part in range(1, parts + 1):
            with nullcontext() if part == parts else distributed.kept_local(self.forward):
                slots, loss = self.objective.loss(self.forward, slots, (self.done.step - 1) * parts + part)
                self._backward(loss.total)
            losses.append(loss)
        loss = added(losses)
        # Only now is it known how many rows (or tokens) all parts have.
        self.update.scale_gradients(self._share_of_one(loss))
        return slots, loss

    def _share_of_one(self, loss: Loss) -> Tensor:
        """What a row's gradient is multiplied by, a scalar in the dtype of the loss.

        DDP averages the ranks' gradients; times the number of ranks over the count of all rows, the average is the
        gradient of the mean.
        """
        count_of_all = distributed.added_on_device(loss.count.double())
        return (self.shard.world_size / count_of_all.clamp(min=1.0)).to(loss.total.dtype)

    def _backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped

    def _agree(self, loss: Loss, finite: Tensor, stop: StopRequest) -> bool:
        """Whether loss and gradients are finite on all ranks, so that the update may be made.

        On the way all take over rank 0's clock and anybody's wish to stop. Here the host waits for the backward pass.
        """
        here = torch.stack([loss.total.detach().double(), loss.count.double(), (~finite).double()]).tolist()
        clock = time.perf_counter() - self.clock_zero if self.shard.rank == 0 else 0.0
        numbers = [*here, clock, float(stop.asked)]
        total, count, poisoned, self.done.seconds, stops = distributed.added_over_ranks(numbers, self.device)
        self.stop_asked = stops > 0
        self.examples += count
        return math.isfinite(total) and not poisoned

    def _skip(self, slots: S) -> None:
        """A poisoned step: no update, every slot starts anew, and the guard says what else."""
        verdict = self.done.guard.judge(poisoned=True)
        self.log.warn(f"step {self.done.step}: the loss or its gradient is not finite; no update")
        self.update.clear()
        self.slots = self.objective.restarted_state(slots)
        if verdict == "roll back":
            self._roll_back()
        elif verdict == "stop":
            raise TrainingStoppedError(
                f"training stopped at step {self.done.step}: the loss was not finite again after "
                f"{self.done.guard.rollbacks - 1} roll-backs; "
                f"the weights in {self.folder.checkpoints} are good; "
                "lower the learning rate or set grad_clip, then use --resume"
            )

    def _roll_back(self) -> None:
        folder = resumable(self.folder.path)
        assert folder is not None, "a run saves its first state before its first step"
        checkpoint = load_checkpoint(folder)
        self.update.restore(checkpoint)
        self.log.warn(
            f"step {self.done.step}: weights rolled back to those of step {checkpoint.state['step']}"
        )

    # --------------------------------------------------------------------------------- log, validate and save

    def _log_row(self) -> None:
        done, metrics = self.done, self.sums.reduced()
        metrics["lr"] = self.update.rate(self.config.learning_rate, done.step, done.seconds)
        self.log.train(done.step, done.seconds, done.share(self.config), self.examples, metrics)
        self.examples = 0.0

    def _validate(self) -> None:
        """Score the (averaged) weights and keep them if none were better. The training clock stands still."""
        self._ensure_finite()
        done, started = self.done, time.perf_counter()
        self.model.eval()
        averaged = self.update.ema.swapped_in(self.model) if self.update.ema else nullcontext()
        with averaged, gathered_in(self.model), torch.no_grad():
            metrics = distributed.from_rank_0(self.objective.validate(), self.device)
        self.model.train()
        done.validated_step, done.validated_seconds = done.step, done.seconds
        done.validation_seconds += time.perf_counter() - started
        self.log.validation(done.step, done.seconds, metrics)
        chosen_by = self.objective.validation_metric
        newest_wins = done.best_step < 0 or not self.objective.held_out
        if newest_wins or metrics[chosen_by] >= done.best_metrics[chosen_by]:
            done.best_step, done.best_metrics = done.step, metrics
            self._save_as("best", self._checkpoint())
        if self.objective.held_out:
            done.plateau.judge(metrics[chosen_by], self.config.min_gain)
        self.clock_zero += time.perf_counter() - started

    def _save(self) -> None:
        if self.done.guard.in_a_row:
            return  # the weights are under suspicion; a later step saves
        self._ensure_finite()
        slots = distributed.gathered(self.objective.state_tensors(self.slots))
        tensors = self.update.optimizer_tensors()
        divided = {name: tensor for name, tensor in tensors.items() if is_divided(tensor)}
        optimizer = {name: tensor for name, tensor in tensors.items() if name not in divided}
        shards = self._write_shards(divided) if divided else None
        self._save_as("last", self._checkpoint(optimizer, slots, shards), keep="previous")

    def _write_shards(self, tensors: Mapping[str, Tensor]) -> Path:
        """All ranks write their parts side by side; a folder that a kill has left is of no use."""
        folder = self.folder.checkpoints / f"{OPTIMIZER_SHARDS}.new"

        def prepare() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

        self._on_disk(prepare)
        write_shards(folder, tensors)
        return folder

    def _checkpoint(
        self,
        optimizer: Mapping[str, Tensor] | None = None,
        slots: Mapping[str, Tensor] | None = None,
        optimizer_shards: Path | None = None,
    ) -> Checkpoint:
        averaged = self.update.averaged_weights()
        return Checkpoint(
            config=self.described,
            weights=all_whole(self.model.state_dict()),
            averaged=None if averaged is None else all_whole(averaged),
            optimizer=optimizer,
            optimizer_shards=optimizer_shards,
            slots=slots,
            state=self.done.to_json(),
        )

    def _save_as(self, name: str, checkpoint: Checkpoint, keep: str | None = None) -> None:
        self._on_disk(lambda: save_checkpoint(self.folder.checkpoints, name, checkpoint, keep=keep))

    def _on_disk(self, write: Callable[[], object]) -> None:
        distributed.on_rank_0(write, str(self.folder.path), self.device)

    def _ensure_finite(self) -> None:
        """Belt and braces: finite updates keep weights finite, and nothing else is ever scored or saved."""
        finite = self.update.weights_finite()
        if sum(distributed.added_over_ranks([not finite], self.device)) > 0:
            self._roll_back()
