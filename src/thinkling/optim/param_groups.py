"""Which parameters decay, and which are hidden matrices: every trained parameter of a model in exactly one group."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

from thinkling.nn.casting import Linear

_LEAST_SIDE = 16
"""A linear layer with fewer inputs or outputs is a head: its rows are answers, not features."""

_TOKEN_HEAD = "lm_head"
"""Name of the layer from features to tokens."""


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights that Muon is made for: linear layers that lead from features to features, in the model's order."""
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, Linear)
        and not name.endswith(_TOKEN_HEAD)  # a large vocabulary makes it no hidden layer
        and module.weight.requires_grad
        and min(module.weight.shape) >= _LEAST_SIDE
    ]


def param_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    decay_biases: bool = True,
    without: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Optimiser groups of `model`, in the order of its parameters.

    Args:
        model: parameters with `requires_grad` are taken.
        weight_decay: decay of the decaying group.
        decay_biases: False puts vectors and scalars (biases, norms) into a group without decay.
        without: parameters that another optimiser has.

    Returns:
        one or two dictionaries with `params` and `weight_decay`; empty groups are left out.
    """
    left_out = {id(param) for param in without}
    trained = [param for param in model.parameters() if param.requires_grad and id(param) not in left_out]
    decaying = [param for param in trained if decay_biases or param.ndim >= 2]
    still = [param for param in trained if not (decay_biases or param.ndim >= 2)]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": still, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    placed = [id(param) for group in (decaying, still) for param in group]
    assert sorted(placed) == sorted(id(param) for param in trained), (
        "every parameter belongs to exactly one group"
    )
    return groups
