"""The slots of a training run on text, as tensors to save and back.

Shapes: B local slots of this rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.thinking.carry import Carry
from thinkling.thinking.slots import Slots

TextSlots = Slots[TextBatch]


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
