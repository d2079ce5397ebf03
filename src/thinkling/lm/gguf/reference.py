"""Our decoder with the weights that are in a GGUF file, rounding where llama.cpp rounds.

llama.cpp multiplies in the precision of the weights: before each product it rounds the activations to bf16, to f16, or
to eight bits with a scale for every 32 or 256 of them, by the type of the matrix (ggml, `vec_dot_type` in
ggml-cpu.c). Everything else is in fp32. A decoder that rounds in the same places gives the same logits up to the order
of additions, whatever the type, so that an error of the file cannot hide behind what quantisation costs.

Shapes: ... any leading dimensions, C columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkling.artifacts.weights import load_into
from thinkling.errors import ThinklingError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf.fields import tensor_name
from thinkling.lm.gguf.write import needed_gguf
from thinkling.lm.model import Decoder
from thinkling.nn.casting import Linear

ROUNDING: Mapping[str, float] = {
    "F32": 0.0,
    "F16": 2**-10,
    "BF16": 2**-7,
    "Q8_0": 0.02,
    "Q6_K": 0.06,
    "Q5_K": 0.15,
    "Q5_0": 0.15,
    "Q4_K": 0.3,
    "Q4_0": 0.3,
}
"""How far a type may be from what was stored, as a share of its root mean square: several times what is usual."""

_EIGHT_BITS: Mapping[str, tuple[int, torch.dtype]] = {
    **dict.fromkeys(("Q8_0", "Q5_0", "Q4_0"), (32, torch.float16)),
    **dict.fromkeys(("Q4_K", "Q5_K", "Q6_K"), (256, torch.float32)),
}
"""By type of the matrix, for activations in eight bits: how many share a scale, and the dtype of that."""


def stored_tensors(path: Path) -> dict[str, tuple[str, Tensor]]:
    """The type and the values, in fp32, of every tensor of a GGUF file, by llama.cpp's name."""
    gguf = needed_gguf()
    found = {}
    for tensor in gguf.GGUFReader(path).tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        found[str(tensor.name)] = (tensor.tensor_type.name, torch.tensor(values).float().reshape(shape))
    return found


class AsStored(nn.Module):
    """A decoder that computes as llama.cpp does with a file, in fp32 on the CPU.

    Args:
        path: the GGUF file.
        config: the sizes of the decoder it was made of.

    Raises:
        ThinklingError: a tensor is missing, superfluous or of another shape.
    """

    def __init__(self, path: Path, config: DecoderConfig) -> None:
        super().__init__()
        stored = stored_tensors(path)
        with torch.device("meta"):
            self.network = Decoder(config)
        self.network.to_empty(device="cpu")
        wanted = {tensor_name(name): name for name in self.network.state_dict()}
        if stored.keys() != wanted.keys():
            differing = ", ".join(sorted(stored.keys() ^ wanted.keys())[:8])
            raise ThinklingError(f"{path} has other tensors than the model: {differing}")
        load_into(self.network, {wanted[name]: values for name, (_, values) in stored.items()})
        self.network.eval()
        self._types = {name: kind for name, (kind, _) in stored.items()}
        for name, module in self.network.named_modules():
            if isinstance(module, Linear):
                module.register_forward_pre_hook(_rounding(self._types[tensor_name(f"{name}.weight")]))

    def far_from(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Which stored tensors are further from a run's own weights than their type explains, in words."""
        faults = []
        for name, stored in self.network.state_dict().items():
            kind = self._types[tensor_name(name)]
            own = weights[name].float()
            size = float(own.square().mean().sqrt())
            error = float((stored - own).square().mean().sqrt())
            if not error <= ROUNDING[kind] * size:
                share = error / size if size else error
                faults.append(f"{tensor_name(name)} ({kind}) differs from the run's weights by {share:.1%}")
        return faults

    @torch.inference_mode()
    def logits(self, ids: list[int]) -> Tensor:
        """Scores of the next token at each position, [S, V]."""
        hidden = self.network(torch.tensor([ids]))
        return self.network.logits(rounded(hidden, self._types["token_embd.weight"]))[0]


def rounded(x: Tensor, matrix: str) -> Tensor:
    """Activations as llama.cpp rounds them before a product with a matrix of this type. [..., C] -> [..., C]."""
    if matrix == "F32":
        return x
    if matrix in ("F16", "BF16"):
        return x.to(torch.float16 if matrix == "F16" else torch.bfloat16).float()
    if matrix in _EIGHT_BITS:
        values, scale_type = _EIGHT_BITS[matrix]
        blocks = x.reshape(*x.shape[:-1], -1, values)
        scale = blocks.abs().amax(-1, keepdim=True) / 127
        whole = (blocks * torch.where(scale > 0, 1 / scale, 0)).round()
        return (whole * scale.to(scale_type).float()).reshape(x.shape)
    raise ThinklingError(f"a matrix of the type {matrix}, whose arithmetic is not known here")


def _rounding(matrix: str) -> Any:
    """A hook that rounds what a layer is given."""

    def before(_module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        return (rounded(arguments[0], matrix),)

    return before
