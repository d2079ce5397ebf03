"""Matrix products with a weight that is laid out once, for a model that is only read from and not trained.

On a CPU oneDNN multiplies with weights in blocks of its own. Laying a weight out once instead of at every product, and
oneDNN's kernels in fp32 too, are one and a half to four times as fast as PyTorch's ordinary products. What follows a
product element by element is done before its result leaves the processor's cache.

Shapes: I inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS_IN_MIND = 64
"""What the layout is chosen for; any number of rows works."""


class PackedWeight:
    """A copy of a weight [O, I], in its dtype, that vectors [..., I] are multiplied with.

    It calls the operators that PyTorch's own compiler uses for frozen weights. They are tried before they are relied
    on; where PyTorch cannot lay a weight out, products are ordinary ones. No gradient flows.
    """

    def __init__(self, weight: Tensor) -> None:
        weight = weight.detach()
        self._operator: Any = _operator_for(weight)
        if self._operator is None:
            self._weight = weight.clone()
        else:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_IN_MIND)

    def product(self, x: Tensor) -> Tensor:
        """`x @ weight.T`. [..., I] -> [..., O]."""
        if self._operator is None:
            return F.linear(x, self._weight)
        out: Tensor = self._operator(x, self._weight, None, "none", [], "")
        return out

    def silu(self, x: Tensor) -> Tensor:
        """`silu(x @ weight.T)`. [..., I] -> [..., O]."""
        if self._operator is None:
            return F.silu(F.linear(x, self._weight))
        out: Tensor = self._operator(x, self._weight, None, "swish", [], "")
        return out

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        """`(x @ weight.T) * other`. [..., I], [..., O] -> [..., O]."""
        if self._operator is None:
            return F.linear(x, self._weight) * other
        out: Tensor = self._operator.binary(x, other, self._weight, None, "mul")
        return out

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """`x @ weight.T + other`. [..., I], [..., O] -> [..., O]."""
        if self._operator is None:
            return F.linear(x, self._weight) + other
        out: Tensor = self._operator.binary(x, other, self._weight, None, "add")
        return out


def _operator_for(weight: Tensor) -> Any:
    """oneDNN's product with a laid out weight; None where this weight, PyTorch or processor has none."""
    library: Any = torch.backends.mkldnn
    if weight.device.type != "cpu" or not library.is_available():
        return None
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_IN_MIND)
        once = operator(weight[:1], packed, None, "swish", [], "")
        operator.binary(weight[:1], once, packed, None, "add")
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):  # another PyTorch, another CPU
        return None
    return operator
