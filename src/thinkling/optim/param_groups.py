"""Which parameters decay: every trained parameter of a model in exactly one group."""

from __future__ import annotations

from typing import Any

from torch import nn


def param_groups(model: nn.Module, weight_decay: float, *, decay_biases: bool = True) -> list[dict[str, Any]]:
    """Optimiser groups of `model`, in the order of its parameters.

    Args:
        model: parameters with `requires_grad` are taken.
        weight_decay: decay of the decaying group.
        decay_biases: False puts vectors and scalars (biases, norms) into a group without decay.

    Returns:
        one or two dictionaries with `params` and `weight_decay`; empty groups are left out.
    """
    trained = [param for param in model.parameters() if param.requires_grad]
    decaying = [param for param in trained if decay_biases or param.ndim >= 2]
    still = [param for param in trained if not (decay_biases or param.ndim >= 2)]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": still, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    placed = [id(param) for group in (decaying, still) for param in group]
    assert sorted(placed) == sorted(id(param) for param in trained), (
        "every parameter belongs to exactly one group"
    )
    return groups
