"""`torch.compile` of a whole segment: one graph for each shape, number of cycles and gradient mode that it meets."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

Backend = str | Callable[..., Any]
"""What makes a program of a graph: "inductor" does, "eager" plays it back and needs no compiler."""

_PROGRAMS = 64
"""Programs in one process. PyTorch stops at 8, which a curriculum of depths with its target passes goes beyond."""


def compiled(function: Callable[P, T], backend: Backend = "inductor") -> Callable[P, T]:
    """The function as one program, made when it first runs and again for every new shape and whole number it is given.

    Args:
        function: of tensors and whole numbers; it may read no tensor's value, which would be an error.
        backend: of `torch.compile`.
    """
    import torch._dynamo.config as settings  # here: it takes a second, and most runs compile nothing

    settings.recompile_limit = max(settings.recompile_limit, _PROGRAMS)
    program = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with warnings.catch_warnings():
            # The compiler looks at the gradient of every input, and PyTorch warns that a cast weight has none.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
            return program(*args, **kwargs)

    return run
