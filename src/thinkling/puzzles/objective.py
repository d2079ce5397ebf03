"""What the trainer needs to know of puzzles: slots that take examples, one segment's loss, a validation.

Shapes: B local slots of this rank, K carries of each (one unless a recipe asks for more), R = B * K rows, N rows that
take a new example, L positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinkling.data.batch import PuzzleBatch
from thinkling.nn.cross_entropy import LossName
from thinkling.nn.precision import ComputeDtype, resolve_dtype
from thinkling.puzzles.evaluate import evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.hrm import HRM
from thinkling.puzzles.identifiers import write_identifiers
from thinkling.puzzles.puzzle_model import halt_rule
from thinkling.puzzles.trm import TRM
from thinkling.thinking.carry import Carry
from thinkling.thinking.cycles import DepthCurriculum
from thinkling.thinking.halting import HaltingConfig, HaltRule
from thinkling.thinking.perturbation import CarryNoise, perturbed
from thinkling.thinking.reserve import Reserve
from thinkling.thinking.slots import Slots
from thinkling.thinking.supervision import SegmentLoss, supervised_segment
from thinkling.thinking.winner_take_all import winner_segment
from thinkling.training.objective import Loss, Shard


class PuzzleObjective:
    """Deep supervision with adaptive computation time on a data set of puzzles.

    Slot s of the whole batch takes the items s, s + batch_size, s + 2 * batch_size … of the data order, whenever it
    halts. So the data order does not depend on the number of ranks, and the slots' counters suffice to resume. With K
    carries a slot is K rows side by side, which take and leave an example together.

    Args:
        model: HRM or TRM, on its device.
        train: training examples.
        validation: examples scored with halting as in use and with all steps.
        halting: adaptive computation time.
        loss: token loss.
        batch_size: slots over all ranks.
        seed: of data order, augmentation and exploration.
        shard: this rank's part.
        noise: random starts and paths of the carry.
        carries: K, carries of each slot; the best one gets the gradient.
        depth: cycles in a segment at the start of training.
        held_out: whether the validation examples are kept from training.
        description: stored in the run's config.json.
        identifiers: names of the puzzle ids, stored beside it.
        compute_dtype: dtype of matrix products.
    """

    validation_metric = "exact_accuracy"

    counted = "examples"

    def __init__(
        self,
        model: HRM | TRM,
        train: Examples,
        validation: Examples,
        *,
        halting: HaltingConfig,
        loss: LossName,
        batch_size: int,
        seed: int,
        shard: Shard | None = None,
        noise: CarryNoise | None = None,
        carries: int = 1,
        depth: DepthCurriculum | None = None,
        held_out: bool = True,
        description: Mapping[str, Any] | None = None,
        identifiers: Sequence[str] = (),
        compute_dtype: ComputeDtype = "auto",
    ) -> None:
        self.model = model
        self.train = train
        self.validation = validation
        self.halting = halting
        self.loss_name = loss
        self.batch_size = batch_size
        self.seed = seed
        self.slots = np.arange(batch_size, dtype=np.int64)[(shard or Shard()).local(batch_size)]
        self.reserve = Reserve(self._take)
        self.noise = noise or CarryNoise()
        self.carries = carries
        self.depth = depth or DepthCurriculum()
        self.held_out = held_out
        self.description = dict(description or {})
        self.identifiers = tuple(identifiers)
        model.compute_dtype = resolve_dtype(compute_dtype, model.device)

    def fresh_state(self) -> Slots[PuzzleBatch]:
        """Halted slots that have taken no example yet."""
        rows, device = len(self.slots) * self.carries, self.model.device
        nothing = torch.zeros(rows, self.model.config.seq_len, dtype=torch.int64, device=device)
        zeros = torch.zeros(rows, dtype=torch.int64, device=device)
        batch = PuzzleBatch(inputs=nothing, puzzle_ids=zeros, labels=nothing)
        return Slots(carry=self.model.fresh_carry(rows), batch=batch, refills=zeros)

    def loss(
        self, forward: Callable[..., Any], state: Slots[PuzzleBatch], step: int
    ) -> tuple[Slots[PuzzleBatch], Loss]:
        """One segment of every slot."""
        self.model.train()
        state = self._perturbed(self.reserve.refill(state), step)
        assert state.batch.labels is not None
        if self.depth.on:
            forward = partial(forward, cycles=self.depth.cycles_at(step, self.model.config.cycles))
        one_segment = (
            partial(winner_segment, carries=self.carries) if self.carries > 1 else supervised_segment
        )
        with self.model.cast_weights():
            after, loss = one_segment(
                forward,
                state,
                state.batch.labels,
                step=step,
                slots=self.slots,
                halting=self.halting,
                seed=self.seed,
                loss=self.loss_name,
            )
        self.reserve.top_up()
        # Filled there: a copy to the device would wait for the whole segment.
        count = torch.full((), len(self.slots), dtype=torch.int64, device=self.model.device)
        return after, Loss(total=loss.total, count=count, metrics=_metrics(loss, count))

    def state_tensors(self, state: Slots[PuzzleBatch]) -> dict[str, Tensor]:
        """The slots by name; each tensor has the local rows as its leading dimension."""
        assert state.batch.labels is not None
        return {
            "z_H": state.carry.z_H,
            "z_L": state.carry.z_L,
            "steps": state.carry.steps,
            "halted": state.carry.halted,
            "inputs": state.batch.inputs,
            "labels": state.batch.labels,
            "puzzle_ids": state.batch.puzzle_ids,
            "refills": state.refills,
        }

    def restore_state(self, tensors: Mapping[str, Tensor]) -> Slots[PuzzleBatch]:
        """The slots from their tensors."""
        here = {name: tensor.to(self.model.device) for name, tensor in tensors.items()}
        dtype = self.model.compute_dtype
        return Slots(
            carry=Carry(
                z_H=here["z_H"].to(dtype),
                z_L=here["z_L"].to(dtype),
                steps=here["steps"],
                halted=here["halted"],
            ),
            batch=PuzzleBatch(inputs=here["inputs"], puzzle_ids=here["puzzle_ids"], labels=here["labels"]),
            refills=here["refills"],
        )

    def restarted_state(self, state: Slots[PuzzleBatch]) -> Slots[PuzzleBatch]:
        """Every slot halted, so that it takes its next example and starts from the initial state."""
        fresh = self.model.fresh_carry(len(self.slots) * self.carries)
        return Slots(carry=fresh, batch=state.batch, refills=state.refills)

    def validate(self) -> dict[str, float]:
        """Scores with halting as in use, and with every step run."""
        self.model.eval()
        rule = halt_rule("q", self.halting, self.validation.task)
        halting = evaluate(self.model, self.validation, rule, max_steps=self.halting.max_steps)
        fixed = evaluate(
            self.model, self.validation, HaltRule(name="never"), max_steps=self.halting.max_steps
        )
        return {
            "exact_accuracy": halting.exact_accuracy,
            "exact_accuracy_fixed": fixed.exact_accuracy,
            "cell_accuracy": halting.cell_accuracy,
            "mean_steps": halting.mean_steps,
        }

    def describe(self) -> dict[str, Any]:
        """What the run is, for config.json."""
        return self.description

    def write_files(self, folder: Path) -> None:
        """The names of the puzzle ids, where puzzles have names."""
        write_identifiers(folder, self.identifiers)

    def _perturbed(self, state: Slots[PuzzleBatch], step: int) -> Slots[PuzzleBatch]:
        """Halted rows at a random start and the others off their path, where the recipe asks for it."""
        if not self.noise.on:
            return state
        rows = (self.slots[:, None] * self.carries + np.arange(self.carries)).reshape(-1)
        started = self.model.started_carry(len(rows))
        total = self.batch_size * self.carries
        carry = perturbed(state.carry, started, self.noise, seed=self.seed, step=step, rows=rows, of=total)
        return Slots(carry=carry, batch=state.batch, refills=state.refills)

    def _take(self, rows: Tensor, refills: Tensor) -> PuzzleBatch:
        """The next examples of N local rows that have had `refills` [N] examples each."""
        slots = self.slots[rows.numpy() // self.carries]
        items = refills.numpy() * self.batch_size + slots
        return self.train.items(items, self.seed).to(self.model.device)


def _metrics(loss: SegmentLoss, slots: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    metrics = {
        "lm_loss": (loss.lm_loss, slots),
        "q_halt_loss": (loss.q_halt_loss, slots),
        "accuracy": (loss.accuracy, loss.count),
        "exact_accuracy": (loss.exact_accuracy, loss.count),
        "q_halt_accuracy": (loss.q_halt_accuracy, loss.count),
        "mean_steps": (loss.steps, loss.count),
    }
    if loss.q_continue_loss is not None:
        metrics["q_continue_loss"] = (loss.q_continue_loss, slots)
    return metrics
