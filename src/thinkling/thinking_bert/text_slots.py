"""What every objective on text does with its slots: save them, restore them, start them anew.

Shapes: B local slots of this rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.data.tokenizer import TextTokenizer
from thinkling.thinking.carry import Carry
from thinkling.thinking.slots import Slots
from thinkling.thinking_bert.run_files import TOKENIZER

TextSlots = Slots[TextBatch]


class TextNetwork(Protocol):
    """What the slots need of a network."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of matrix products."""

    def fresh_carry(self, batch_size: int, length: int | None = None) -> Carry:
        """A carry whose slots are all halted."""


N = TypeVar("N", bound=TextNetwork)


class TextObjective(Generic[N]):
    """The part of an objective that does not depend on what is learned.

    Args:
        model: the network, on its device.
        tokenizer: of the model; written into the run folder.
        description: stored in the run's config.json.
    """

    counted = "examples"
    held_out = True

    def __init__(self, model: N, tokenizer: TextTokenizer, description: Mapping[str, Any] | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.description = dict(description or {})

    def state_tensors(self, state: TextSlots) -> dict[str, Tensor]:
        """The slots by name; each tensor has the local slots as its leading dimension."""
        return slot_tensors(state)

    def restore_state(self, tensors: Mapping[str, Tensor]) -> TextSlots:
        """The slots from their tensors."""
        return slots_of(tensors, device=self.model.device, dtype=self.model.compute_dtype)

    def restarted_state(self, state: TextSlots) -> TextSlots:
        """Every slot halted, so that it takes its next row and starts from the initial state."""
        carry = self.model.fresh_carry(*state.batch.inputs.shape)
        return Slots(carry=carry, batch=state.batch, refills=state.refills)

    def describe(self) -> dict[str, Any]:
        """What the run is, for config.json."""
        return self.description

    def write_files(self, folder: Path) -> None:
        """The tokenizer."""
        self.tokenizer.save(folder / TOKENIZER)


def slot_tensors(state: TextSlots) -> dict[str, Tensor]:
    """The slots by name; each tensor has the B slots as its leading dimension."""
    return {
        "z_H": state.carry.z_H,
        "z_L": state.carry.z_L,
        "steps": state.carry.steps,
        "halted": state.carry.halted,
        "inputs": state.batch.inputs,
        "documents": state.batch.documents,
        "positions": state.batch.positions,
        "labels": state.batch.labels,
        "refills": state.refills,
    }


def slots_of(tensors: Mapping[str, Tensor], *, device: torch.device, dtype: torch.dtype) -> TextSlots:
    """The inverse of `slot_tensors`, on a device, the carry in the compute dtype."""
    here = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Slots(
        carry=Carry(
            z_H=here["z_H"].to(dtype),
            z_L=here["z_L"].to(dtype),
            steps=here["steps"],
            halted=here["halted"],
        ),
        batch=TextBatch(
            inputs=here["inputs"],
            documents=here["documents"],
            positions=here["positions"],
            labels=here["labels"],
        ),
        refills=here["refills"],
    )
