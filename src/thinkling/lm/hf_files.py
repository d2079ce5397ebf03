"""The files beside the weights that other programs open a language model with: Qwen3's layout in Transformers.

    tokenizer.json  tokenizer_config.json  chat_template.jinja  generation_config.json

With `hf_config` in config.json, `AutoModelForCausalLM` and `AutoTokenizer` open the folder, and so do the programs
that keep to this layout (vLLM, SGLang, MLX, llama.cpp's converter).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thinkling.artifacts.run_folder import cannot_write, write_json, write_text
from thinkling.data.chat_template import CHAT_TEMPLATE
from thinkling.data.chat_tokenizer import BOS, IM_END, PAD, SHOWN, SPECIALS, ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
GENERATION_CONFIG = "generation_config.json"
FILES = (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE, GENERATION_CONFIG)
"""What `write_hf_files` writes."""


def hf_config(config: DecoderConfig) -> dict[str, Any]:
    """Qwen3's keys for config.json."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.inner_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_length,
        "rms_norm_eps": config.norm_eps,
        # Transformers 5 reads the first, everything older and most other programs the second.
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "rope_theta": config.rope_base,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": ChatTokenizer.bos_id,
        "eos_token_id": ChatTokenizer.im_end_id,
        "pad_token_id": ChatTokenizer.pad_id,
    }


def write_hf_files(folder: Path, tokenizer: ChatTokenizer, config: DecoderConfig) -> None:
    """Write `FILES` into a folder that exists.

    Raises:
        InputError: a tokenizer with more tokens than the model.
        ThinklingError: the disk refuses.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"a tokenizer of {tokenizer.vocab_size} tokens for a model of {config.vocab_size}",
            f"{config.vocab_size} or fewer",
            "set model.vocab_size, or train a smaller tokenizer",
        )
    folder = Path(folder)
    try:
        write_text(folder / TOKENIZER, tokenizer.to_json())
        write_json(folder / TOKENIZER_CONFIG, _tokenizer_config(config))
        write_text(folder / TEMPLATE, CHAT_TEMPLATE)
        write_json(folder / GENERATION_CONFIG, _generation_config())
    except OSError as error:
        raise cannot_write(folder, error) from error


def _tokenizer_config(config: DecoderConfig) -> dict[str, Any]:
    return {
        # The class that takes tokenizer.json as it is. Qwen2Tokenizer would normalise the text.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {
            str(number): {
                "content": name,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": name not in SHOWN,
            }
            for number, name in enumerate(SPECIALS)
        },
        "bos_token": BOS,
        "eos_token": IM_END,
        "pad_token": PAD,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": config.max_length,
        "chat_template": CHAT_TEMPLATE,
    }


def _generation_config() -> dict[str, Any]:
    return {
        "bos_token_id": ChatTokenizer.bos_id,
        "eos_token_id": [ChatTokenizer.im_end_id, ChatTokenizer.eos_id],
        "pad_token_id": ChatTokenizer.pad_id,
        "do_sample": False,
    }
