"""How large a GGUF file of a configuration is, by type, from llama.cpp's rule for which matrix gets which type.

Only the tensors are counted; the tokenizer and the other fields add one to two megabytes at 32,768 tokens. The rule for
Q4_K_M is that of `llama_tensor_get_type` in llama.cpp's `src/llama-quant.cpp`; a Q4_0 file has its embedding in Q8_0.
"""

from __future__ import annotations

from collections.abc import Iterator

from thinkling.lm.config import DecoderConfig

_BLOCKS = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_0": (32, 22),
    "q4_0": (32, 18),
    "q4_k": (256, 144),
    "q6_k": (256, 210),
}
"""Values of a block and the bytes they take (ggml's `ggml-common.h`)."""
_WHERE_ROWS_DO_NOT_FIT = {"q4_k": "q5_0", "q6_k": "q8_0"}
"""What llama.cpp takes for a matrix whose rows are no multiple of 256."""

GGUF_TYPES = ("bf16", "f16", "q8_0", "q4_k_m", "q4_0")
"""The types that `thinkling export gguf` writes."""


def gguf_bytes(config: DecoderConfig, gguf_type: str) -> int | None:
    """Bytes of the tensors of a file; None where a block of this type does not divide a matrix's rows."""
    total = 0
    for rows, columns, kind in _tensors(config, gguf_type):
        values, size = _BLOCKS[kind]
        if columns % values:
            return None
        total += rows * columns // values * size
    return total


def falls_back(config: DecoderConfig) -> bool:
    """Whether llama.cpp stores some matrices in another type than Q4_K_M's own, for their rows."""
    rows = (config.hidden_size, config.num_heads * config.head_dim, config.inner_size)
    return any(size % _BLOCKS["q4_k"][0] for size in rows)


def _tensors(config: DecoderConfig, gguf_type: str) -> Iterator[tuple[int, int, str]]:
    """(rows, columns, type) of every tensor; norms are fp32 whatever the type."""
    width, inner, size = config.hidden_size, config.inner_size, config.head_dim
    heads, kv_heads = config.num_heads * size, config.num_kv_heads * size
    base = {"q4_k_m": "q4_k"}.get(gguf_type, gguf_type)
    yield config.vocab_size, width, _fitting(width, _output_type(base, width))
    for layer in range(config.num_layers):
        better = "q6_k" if gguf_type == "q4_k_m" and _gets_more_bits(layer, config.num_layers) else base
        for rows, columns, kind in (
            (heads, width, base),  # queries
            (kv_heads, width, base),  # keys
            (kv_heads, width, better),  # values
            (width, heads, base),  # output of attention
            (inner, width, base),  # gate
            (inner, width, base),  # up
            (width, inner, better),  # down
        ):
            yield rows, columns, _fitting(columns, kind)
        yield 1, 2 * (width + size), "f32"
    yield 1, width, "f32"


def _output_type(base: str, width: int) -> str:
    """The table of tokens is the output layer, which keeps more bits."""
    if base == "q4_k":
        return "q8_0" if width % 256 else "q6_k"
    return "q8_0" if base == "q4_0" else base


def _gets_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _fitting(columns: int, kind: str) -> str:
    return _WHERE_ROWS_DO_NOT_FIT.get(kind, kind) if columns % _BLOCKS[kind][0] else kind
