"""Matrix products with a weight that is laid out once, for a model that is only read from and not trained.

On a CPU oneDNN multiplies with weights in blocks of its own. Laying a weight out once instead of at every product, and
oneDNN's kernels in fp32 too, are one and a half to four times as fast as PyTorch's ordinary products.

Shapes: I inputs, O outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Product: TypeAlias = Callable[[Tensor], Tensor]
"""`x @ weight.T`. [..., I] -> [..., O]."""

_ROWS_IN_MIND = 64
"""What the layout is chosen for; any number of rows works."""


def packed_product(weight: Tensor) -> Product:
    """The product with a copy of a weight [O, I], in its dtype; an ordinary product where PyTorch cannot lay it out.

    It calls the operators that PyTorch's own compiler uses for frozen weights, and they are tried before they are
    relied on. No gradient flows.
    """
    weight = weight.detach()
    library: Any = torch.backends.mkldnn
    if weight.device.type != "cpu" or not library.is_available():
        return functools.partial(_ordinary, weight.clone())
    operators: Any = torch.ops.mkldnn
    try:
        packed = operators._reorder_linear_weight(weight, _ROWS_IN_MIND)
        product: Product = functools.partial(_packed, operators._linear_pointwise, packed)
        product(weight[:1])
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):  # another PyTorch, another CPU
        return functools.partial(_ordinary, weight.clone())
    return product


def _packed(operator: Any, packed: Tensor, x: Tensor) -> Tensor:
    out: Tensor = operator(x, packed, None, "none", [], "")
    return out


def _ordinary(weight: Tensor, x: Tensor) -> Tensor:
    return F.linear(x, weight)
