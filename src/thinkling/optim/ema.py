"""Moving average of the parameters: average <- decay * average + (1 - decay) * parameter (as in TRM).

Started at the first parameters, without bias correction. Buffers (puzzle embeddings, initial states) are not
averaged. Of parameters that are divided over processes, each one averages its own part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from thinkling.nn.sharding import local_part


class EMA:
    """The averages of a model's parameters, by name.

    Args:
        model: the model whose parameters are averaged; the average starts at their present values.
        decay: share of the old average that stays at each update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            name: param.detach().clone() for name, param in model.named_parameters()
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages towards the present parameters."""
        params = [local_part(param.detach()) for param in self._matched(model)]
        averages = [local_part(average) for average in self.averages.values()]
        torch._foreach_lerp_(averages, params, 1 - self.decay)

    @contextlib.contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[None]:
        """Inside the block `model` has the averaged parameters; afterwards, also on an error, its own."""
        params = self._matched(model)
        own = [param.detach().clone() for param in params]
        self._copy_to(params, list(self.averages.values()))
        try:
            yield
        finally:
            self._copy_to(params, own)

    def load(self, averages: Mapping[str, Tensor]) -> None:
        """Take over saved averages; other entries of the mapping (buffers) are not looked at."""
        for name, average in self.averages.items():
            average.copy_(averages[name])

    def _matched(self, model: nn.Module) -> list[Tensor]:
        named = dict(model.named_parameters())
        assert named.keys() == self.averages.keys(), "the model's parameters are not those of this average"
        return list(named.values())

    @staticmethod
    @torch.no_grad()
    def _copy_to(params: list[Tensor], values: list[Tensor]) -> None:
        torch._foreach_copy_([local_part(param) for param in params], [local_part(value) for value in values])
