"""Write a GGUF file with the package `gguf`, which llama.cpp's authors publish.

Shapes: R rows of a matrix, C values of a row.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkling.artifacts.run_folder import cannot_write, write_whole
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf.fields import StoredType, model_fields, tensor_name, tokenizer_fields

_MATRICES: Mapping[StoredType, str] = {
    "f32": "F32",
    "bf16": "BF16",
    "f16": "F16",
    "q8_0": "Q8_0",
    "q4_0": "Q4_0",
}
EMBEDDINGS: Mapping[StoredType, str] = {**_MATRICES, "q4_0": "Q8_0"}
"""The type of the embedding table, which is the output layer too: in eight bits even where the rest has four."""


def write_gguf(
    path: Path,
    weights: Mapping[str, Tensor],
    config: DecoderConfig,
    tokenizer: ChatTokenizer,
    kind: StoredType,
    name: str,
) -> None:
    """Write a model, whole or not at all; an existing file is replaced.

    Args:
        path: the file.
        weights: the decoder's own tensors; there is no output tensor, llama.cpp takes the embedding table for it.
        config: the decoder's sizes.
        tokenizer: its tokenizer.
        kind: how matrices are stored, not q4_k_m, which llama.cpp makes of another file. Norms stay in fp32.
        name: what the file calls the model.

    Raises:
        InputError: the package `gguf` is missing, or a weight that is not finite or outside of the type's range.
        ThinklingError: the disk refuses.
    """
    gguf = needed_gguf()
    fields = {**model_fields(config, name, kind), **tokenizer_fields(tokenizer, config.vocab_size)}

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, fields.pop("general.architecture"))
        for key, value in fields.items():
            _add(writer, key, value)
        for its_name, weight in weights.items():
            stored_in = "F32" if weight.ndim == 1 else _types(its_name, kind)
            _add_tensor(gguf, writer, tensor_name(its_name), weight, stored_in)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise cannot_write(path, error) from error


def needed_gguf() -> Any:
    """The package `gguf`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("gguf")
    except ImportError:
        raise InputError(
            "GGUF without the package gguf",
            "gguf and llama-cpp-python, which are installed on request",
            "pip install 'thinkling[gguf]'",
        ) from None


def _types(name: str, kind: StoredType) -> str:
    return (EMBEDDINGS if name == "model.embed_tokens.weight" else _MATRICES)[kind]


def _add(writer: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _add_tensor(gguf: Any, writer: Any, name: str, weight: Tensor, stored_in: str) -> None:
    """One tensor [R, C] or [C]."""
    values = weight.detach().to("cpu", torch.float32)
    if not bool(values.isfinite().all()):
        raise InputError(f"{name} with a value that is not finite", "finite weights", "train the model again")
    if stored_in == "F16" and float(values.abs().max()) > torch.finfo(torch.float16).max:
        raise InputError(
            f"{name} with {float(values.abs().max()):.3g} as f16", "values up to 65504", "choose --type bf16"
        )
    kind = gguf.GGMLQuantizationType[stored_in]
    if stored_in == "F32":
        writer.add_tensor(name, values.numpy(), raw_dtype=kind)
    else:
        writer.add_tensor(name, gguf.quantize(values.numpy(), kind), raw_dtype=kind)
