"""ModernBERT checkpoints: the names and settings of Transformers, mapped strictly onto ours.

Source: `transformers/models/modernbert/modeling_modernbert.py` of Transformers 5.23. A ModernBERT is a Thinking-BERT
without a high level that is run for one round of one iteration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thinkling.artifacts.hub import fetched, read_address
from thinkling.artifacts.run_folder import CONFIG, WEIGHTS, read_json
from thinkling.artifacts.weights import load_into, load_weights
from thinkling.errors import InputError
from thinkling.nn.block import Activation
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import ThinkingBert

_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "intermediate_size": "inner_size",
    "num_hidden_layers": "low_layers",
}
_ONLY: Mapping[str, Any] = {
    "model_type": "modernbert",
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "classifier_bias": False,
    "classifier_activation": "gelu",
    "tie_word_embeddings": True,
    "rope_scaling": None,
}
"""Settings that our layers have built in; each is also what Transformers assumes where it is not given."""
_ACTIVATIONS: Mapping[str, Activation] = {"gelu": "gelu", "silu": "silu", "swish": "silu"}
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_EMBEDDING, _DECODER, _DECODER_BIAS = (
    "model.embeddings.tok_embeddings.weight",
    "decoder.weight",
    "decoder.bias",
)
_MUST_AGREE = (
    "vocab_size",
    "hidden_size",
    "num_heads",
    "inner_size",
    "local_attention",
    "global_every",
    "local_rope_base",
    "global_rope_base",
    "activation",
    "norm_eps",
)
_OF_A_VOCABULARY = ("tok_embeddings.weight", "decoder_bias")
_HALT_HEAD = ("q_head.weight", "q_head.bias")
"""ModernBERT has no halt head; ours keeps its initial values, which say "not right yet"."""


@dataclass(frozen=True, kw_only=True)
class LowLevelStart:
    """Which weights of a checkpoint a network has taken, and which weights of the network stayed as they were."""

    layers: int
    """Low-level layers taken, the first ones of the checkpoint."""
    checkpoint_layers: int
    """Layers that the checkpoint has."""
    left_out: tuple[str, ...]
    """Tensors of the checkpoint that belong to its further layers, or to another vocabulary."""
    untouched: tuple[str, ...]
    """Tensors of the network that the checkpoint has nothing for: the high level, the halt head, another vocabulary."""


def from_modernbert(
    config: Mapping[str, Any], state_dict: Mapping[str, Tensor], *, max_length: int = 128
) -> ThinkingBert:
    """The encoder of a ModernBERT checkpoint, in evaluation mode. One segment of a fresh carry gives its logits.

    Args:
        config: the contents of its config.json.
        state_dict: the names of `ModernBertForMaskedLM`; the tied `decoder.weight` may be there or not.
        max_length: longest row of tokens, at most `max_position_embeddings`.

    Raises:
        InputError: a setting that our layers do not have, or a tensor is missing, left over or of another shape.
    """
    network = ThinkingBert(modernbert_config(config, max_length=max_length))
    load_into(network, _ours(config, state_dict, network.config.low_layers), tolerated=_HALT_HEAD)
    return network.eval()


def initialise_low_level(
    network: ThinkingBert,
    config: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    *,
    embeddings: bool = True,
) -> LowLevelStart:
    """Give a network the embeddings, the low-level layers and the head of a ModernBERT checkpoint.

    A checkpoint with more layers than the low level gives its first ones, and the norm behind its last one.

    Args:
        network: overwritten in place; its high level and its halt head stay as they are.
        config: the contents of the checkpoint's config.json.
        state_dict: as for `from_modernbert`.
        embeddings: whether the network's tokens are those of the checkpoint; without, its embeddings and the bias of
            its decoder stay as they are, and its vocabulary may be of another size.

    Returns:
        what was taken and what was not.

    Raises:
        InputError: the two differ in a setting that gives the weights their meaning, the checkpoint has too few
            layers, or a tensor is missing, left over or of another shape.
    """
    own, theirs = network.config, modernbert_config(config, max_length=1)
    differences = [
        f"{name} {getattr(theirs, name)} instead of {getattr(own, name)}"
        for name in (_MUST_AGREE if embeddings else _MUST_AGREE[1:])
        if getattr(theirs, name) != getattr(own, name)
    ]
    if theirs.low_layers < own.low_layers:
        differences.append(f"{theirs.low_layers} layers for low_layers {own.low_layers}")
    if differences:
        raise InputError(
            f"a ModernBERT with {', '.join(differences)}",
            "the settings of the network, and at least as many layers as its low level",
            "set the network's config to those of the checkpoint, or use another checkpoint",
        )
    ours = _ours(config, state_dict, theirs.low_layers)
    words = () if embeddings else _OF_A_VOCABULARY
    taken = {
        name: tensor
        for name, tensor in ours.items()
        if not _beyond(name, own.low_layers) and name not in words
    }
    untouched = tuple(
        name
        for name in network.state_dict()
        if name.startswith("high.") or name in _HALT_HEAD or name in words
    )
    load_into(network, taken, tolerated=untouched)
    names = _tensor_names(theirs.low_layers)
    return LowLevelStart(
        layers=own.low_layers,
        checkpoint_layers=theirs.low_layers,
        left_out=tuple(name for name, our in names.items() if _beyond(our, own.low_layers) or our in words),
        untouched=untouched,
    )


def load_modernbert(place: str | Path, *, max_length: int = 128) -> ThinkingBert:
    """`from_modernbert` of a folder; see `read_modernbert` for what it may be."""
    config, weights = read_modernbert(place)
    return from_modernbert(config, weights, max_length=max_length)


def read_modernbert(place: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights of a folder as Transformers writes it, read from config.json and model.safetensors.

    Args:
        place: the folder, or `hf://owner/name[@revision][/path]`, of which only these two files are fetched.

    Raises:
        InputError: a file is missing or damaged. A pickle (`pytorch_model.bin`) is never read.
    """
    return read_json(_file(place, CONFIG)), load_weights(_file(place, WEIGHTS))


def _file(place: str | Path, name: str) -> Path:
    address = read_address(place)
    path = Path(place) / name if address is None else fetched(f"{address}/{name}")
    if not path.is_file():
        raise InputError(
            f"{place} without {name}",
            f"a folder as Transformers writes it, with {CONFIG} and {WEIGHTS}",
            "check the path; save other weights with save_pretrained(safe_serialization=True) first",
        )
    return path


# --- settings ---------------------------------------------------------------------------------------------------------


def modernbert_config(config: Mapping[str, Any], *, max_length: int) -> ThinkingBertConfig:
    """The architecture of a ModernBERT: its settings in our words.

    Args:
        config: the contents of its config.json.
        max_length: longest row of tokens.

    Raises:
        InputError: a size is missing, a setting that our layers do not have, or rows longer than the checkpoint's.
    """
    _refuse_others(config)
    longest = config.get("max_position_embeddings", 8192)
    if max_length > longest:
        raise InputError(
            f"max_length {max_length}", f"1 to {longest}, as in the checkpoint", "set max_length"
        )
    return ThinkingBertConfig(
        **{ours: config[theirs] for theirs, ours in _SIZES.items()},
        max_length=max_length,
        L_cycles=1,
        high_level="none",
        # Half of it on each side, rounded down.
        local_attention=config.get("local_attention", 128) // 2 * 2,
        global_every=_global_every(config),
        global_rope_base=_rope_base(config, _GLOBAL),
        local_rope_base=_rope_base(config, _LOCAL),
        activation=_ACTIVATIONS[config.get("hidden_activation", "gelu")],
        norm_eps=config.get("norm_eps", 1e-5),
    )


def _refuse_others(config: Mapping[str, Any]) -> None:
    missing = [name for name in _SIZES if name not in config]
    if missing:
        raise InputError(
            f"a config without {', '.join(missing)}",
            "the config.json of a ModernBERT",
            "pass the whole config",
        )
    faults = [
        f"{name} {config[name]!r} (allowed {value!r})"
        for name, value in _ONLY.items()
        if name in config and config[name] != value
    ]
    activation = config.get("hidden_activation", "gelu")
    if activation not in _ACTIVATIONS:
        faults.append(f"hidden_activation {activation!r} (allowed {', '.join(_ACTIVATIONS)})")
    if faults:
        raise InputError(
            f"a ModernBERT with {', '.join(faults)}",
            "a masked-language ModernBERT as published",
            "use another checkpoint",
        )


def _global_every(config: Mapping[str, Any]) -> int:
    """Every so manieth layer is global, the first included; newer configs list the kind of each layer instead."""
    kinds: Sequence[str] | None = config.get("layer_types")
    if kinds is None:
        return int(config.get("global_attn_every_n_layers", 3))
    every = next((place for place, kind in enumerate(kinds) if place and kind == _GLOBAL), max(1, len(kinds)))
    regular = [_LOCAL if place % every else _GLOBAL for place in range(config["num_hidden_layers"])]
    if list(kinds) != regular:
        raise InputError(
            f"layer_types {', '.join(kinds)}",
            f"{_GLOBAL} in the first layer and then in every so manieth, {_LOCAL} in all others",
            "use another checkpoint",
        )
    return every


def _rope_base(config: Mapping[str, Any], kind: str) -> float:
    """Base of the rotary frequencies of a kind of layer, from the newer or the older settings."""
    parameters = (config.get("rope_parameters") or {}).get(kind) or {}
    if parameters.get("rope_type", "default") != "default":
        raise InputError(
            f"rope_type {parameters['rope_type']!r} of {kind}", "default", "use another checkpoint"
        )
    if "rope_theta" in parameters:
        return float(parameters["rope_theta"])
    everywhere = float(config.get("global_rope_theta", 160_000.0))
    if kind == _GLOBAL:
        return everywhere
    local = config.get("local_rope_theta", 10_000.0)
    return everywhere if local is None else float(local)  # none of its own: that of the global layers


# --- tensors ----------------------------------------------------------------------------------------------------------


def _tensor_names(layers: int) -> dict[str, str]:
    """Our name of every tensor of a ModernBERT with so many layers."""
    names = {
        _EMBEDDING: "tok_embeddings.weight",
        "model.embeddings.norm.weight": "embedding_norm.weight",
        "model.final_norm.weight": "low.final_norm.weight",
        "head.dense.weight": "head_dense.weight",
        "head.norm.weight": "head_norm.weight",
        _DECODER_BIAS: "decoder_bias",
    }
    parts = {
        "attn_norm.weight": "attn_norm.weight",
        "attn.Wqkv.weight": "attn.qkv_proj.weight",
        "attn.Wo.weight": "attn.o_proj.weight",
        "mlp_norm.weight": "mlp_norm.weight",
        "mlp.Wi.weight": "mlp.gate_up_proj.weight",
        "mlp.Wo.weight": "mlp.down_proj.weight",
    }
    for layer in range(layers):
        for theirs, ours in parts.items():
            if layer or theirs != "attn_norm.weight":  # what the first layer takes has just been normed
                names[f"model.layers.{layer}.{theirs}"] = f"low.layers.{layer}.{ours}"
    return names


def _ours(config: Mapping[str, Any], state_dict: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The checkpoint's tensors by our names, none missing and none left over."""
    tensors = dict(state_dict)
    names = _tensor_names(layers)
    if not config.get("decoder_bias", True) and _DECODER_BIAS not in tensors:
        tensors[_DECODER_BIAS] = torch.zeros(config["vocab_size"])
    decoder = tensors.pop(_DECODER, None)
    faults = [f"{name} is missing" for name in names if name not in tensors]
    faults += [f"{name} is not in a ModernBERT of {layers} layers" for name in tensors if name not in names]
    if decoder is not None and _EMBEDDING in tensors and not torch.equal(decoder, tensors[_EMBEDDING]):
        faults.append(f"{_DECODER} differs from {_EMBEDDING}, to which it must be tied")
    if faults:
        raise InputError(
            f"weights that do not fit: {', '.join(faults)}",
            "every tensor of ModernBertForMaskedLM and no other",
            "check that config and weights are of one checkpoint with its masked-language head",
        )
    return {ours: tensors[theirs] for theirs, ours in names.items()}


def _beyond(name: str, layers: int) -> bool:
    """Whether one of our tensors belongs to a low-level layer behind the first `layers`."""
    parts = name.split(".")
    return parts[:2] == ["low", "layers"] and int(parts[2]) >= layers
