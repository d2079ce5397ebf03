"""What a GGUF file says about a model beside its weights, and where each weight goes: llama.cpp's `qwen3`.

The names are those of GGUF's specification (ggml, docs/gguf.md) and of llama.cpp's src/llama-arch.cpp.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from thinkling.data.chat_template import CHAT_TEMPLATE
from thinkling.data.chat_tokenizer import PRE_TOKENIZER, SHOWN, ChatTokenizer
from thinkling.errors import InputError, nearest
from thinkling.lm.config import DecoderConfig

GgufType = Literal["bf16", "f16", "q8_0", "q4_k_m", "q4_0"]
"""How the matrices are stored, by llama.cpp's names."""
TYPES: Mapping[GgufType, int] = {"bf16": 32, "f16": 1, "q8_0": 7, "q4_k_m": 15, "q4_0": 2}
"""Every type with its number in `general.file_type` (llama.h, `llama_ftype`)."""
StoredType = GgufType | Literal["f32"]
"""The types that a file may have on the way, unrounded weights included."""
FILE_TYPES: Mapping[str, int] = {"f32": 0, **{str(kind): number for kind, number in TYPES.items()}}
"""Their numbers."""
BLOCKS: Mapping[GgufType, int] = {"bf16": 1, "f16": 1, "q8_0": 32, "q4_k_m": 256, "q4_0": 32}
"""Values that share a scale, which a row must be a multiple of."""

# llama.h, llama_token_type; what is shown is "user-defined" there.
_ORDINARY, _CONTROL, _SHOWN, _UNUSED = 1, 3, 4, 5
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")


def tensor_name(name: str) -> str:
    """llama.cpp's name of a tensor of our decoder, such as `blk.0.attn_q.weight`."""
    stem = name.removesuffix(".weight")
    if match := _LAYER.fullmatch(stem):
        return f"blk.{match[1]}.{_IN_LAYER[match[2]]}.weight"
    return f"{_OUTER[stem]}.weight"


def check_type(kind: str, config: DecoderConfig, *, fall_back: bool = False) -> None:
    """Refuse a type that a matrix of this model cannot be stored in.

    Args:
        kind: one of `TYPES`.
        config: the model.
        fall_back: whether llama.cpp may store matrices with other rows in a type with smaller blocks, as its own
            quantiser does for q4_k_m.

    Raises:
        InputError: an unknown type, or a matrix whose rows the type's blocks do not divide, by its name.
    """
    blocks = {str(known): size for known, size in BLOCKS.items()}
    if kind not in blocks:
        raise InputError(f"--type {kind}", ", ".join(TYPES), nearest(kind, TYPES))
    block = 32 if fall_back and kind == "q4_k_m" else blocks[kind]
    rows = {
        "token_embd.weight": config.hidden_size,
        "blk.0.attn_output.weight": config.num_heads * config.head_dim,
        "blk.0.ffn_down.weight": config.inner_size,
    }
    for name, row in rows.items():
        if row % block == 0:
            continue
        small = all(size % 32 == 0 for size in rows.values())
        mixed = "add --fall-back to store such matrices in llama.cpp's next finer type, or " if small else ""
        fitting = [other for other in TYPES if all(size % BLOCKS[other] == 0 for size in rows.values())]
        raise InputError(
            f"--type {kind} for {name}, whose rows have {row} values",
            f"rows that are a multiple of {block}",
            f"{mixed if kind == 'q4_k_m' and not fall_back else ''}choose --type {' or '.join(fitting)}",
        )


def model_fields(config: DecoderConfig, name: str, kind: StoredType) -> dict[str, Any]:
    """What llama.cpp must know of the architecture; whole numbers are 32 bits unsigned in the file."""
    return {
        "general.architecture": "qwen3",
        "general.type": "model",
        "general.name": name,
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        "qwen3.vocab_size": config.vocab_size,
        "qwen3.context_length": config.max_length,
        "qwen3.embedding_length": config.hidden_size,
        "qwen3.block_count": config.num_layers,
        "qwen3.feed_forward_length": config.inner_size,
        "qwen3.attention.head_count": config.num_heads,
        "qwen3.attention.head_count_kv": config.num_kv_heads,
        # Without these two llama.cpp takes the width divided by the number of heads for the size of a head.
        "qwen3.attention.key_length": config.head_dim,
        "qwen3.attention.value_length": config.head_dim,
        "qwen3.attention.layer_norm_rms_epsilon": float(config.norm_eps),
        "qwen3.rope.freq_base": float(config.rope_base),
    }


def tokenizer_fields(tokenizer: ChatTokenizer, rows: int) -> dict[str, Any]:
    """The vocabulary, its merges, how text is cut before, the special tokens, and the chat template.

    Args:
        tokenizer: the model's.
        rows: of the embedding table; those that no token has are named, for llama.cpp wants a name for each.

    `<think>` and `</think>` are user-defined rather than control tokens, because llama.cpp leaves control tokens out of
    what it shows, and a reader could not tell the reasoning from the answer.
    """
    stored = json.loads(tokenizer.to_json())
    special = {token["id"]: token["content"] for token in stored["added_tokens"]}
    tokens = {**{number: token for token, number in stored["model"]["vocab"].items()}, **special}
    assert sorted(tokens) == list(range(tokenizer.vocab_size)), "ids without a gap"
    kinds = [
        _ORDINARY if number not in special else _SHOWN if special[number] in SHOWN else _CONTROL
        for number in range(len(tokens))
    ]
    unused = [f"<unused{number}>" for number in range(len(tokens), rows)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": PRE_TOKENIZER,
        "tokenizer.ggml.tokens": [tokens[number] for number in range(len(tokens))] + unused,
        "tokenizer.ggml.token_type": kinds + [_UNUSED] * len(unused),
        "tokenizer.ggml.merges": [
            merge if isinstance(merge, str) else " ".join(merge) for merge in stored["model"]["merges"]
        ],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        # What ends an answer; the end of a text ends generation too, and this is llama.cpp's place for a second one.
        "tokenizer.ggml.eos_token_id": tokenizer.im_end_id,
        "tokenizer.ggml.eom_token_id": tokenizer.eos_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
