"""`torch.compile` as an option of training: asked for by a setting, tried before it is relied on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import nn

from thinkling.errors import InputError


@runtime_checkable
class Compilable(Protocol):
    """A model whose training segment can be compiled."""

    def compile_segment(self) -> None:
        """Have the training segment compiled when it first runs."""
        ...


def compile_for_training(model: nn.Module) -> None:
    """Have the model's training segment compiled when it first runs.

    Raises:
        InputError: the model has no such segment, or nothing can be compiled on this machine.
    """
    if not isinstance(model, Compilable):
        raise InputError(
            f"train.compile for a {type(model).__name__}",
            "a puzzle model (HRM or TRM)",
            "leave train.compile off",
        )
    check_compiler(next(model.parameters()).device)
    model.compile_segment()


def check_compiler(device: torch.device) -> None:
    """Compile a small function for a device and run it.

    Raises:
        InputError: it cannot be done, with the first line of the reason.
    """
    try:
        doubled = torch.compile(_doubled, fullgraph=True, dynamic=False)(torch.ones(8, device=device))
        fault = None if doubled.tolist() == [2.0] * 8 else "the compiled program computes something else"
    except (
        Exception
    ) as error:  # no compiler, no header files, no Triton: each fails with an exception of its own
        fault = (str(error).strip() or type(error).__name__).splitlines()[0]
    if fault is not None:
        raise InputError(
            f"train.compile where torch.compile does not work on {device.type} ({fault})",
            "a machine with a C++ compiler and Python's header files, and on a GPU Triton",
            "install them (on Debian: apt-get install g++ python3-dev), or leave train.compile off",
        )


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2
