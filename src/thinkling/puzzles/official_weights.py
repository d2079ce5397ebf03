"""Official HRM and TRM checkpoints: names and settings of the published code, mapped strictly onto ours.

Sources: sapientinc/HRM (commit 42410da) and SamsungSAILMontreal/TinyRecursiveModels (commit e7b6871).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from thinkling.artifacts.weights import load_into
from thinkling.errors import InputError
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.trm import TRM, TRMConfig

_PREFIXES = re.compile(r"^(_orig_mod\.)?(model\.)?(inner\.)?")
_NOT_WEIGHTS = re.compile(r"(^|\.)(rotary_emb\.(cos|sin)_cached|puzzle_emb\.local_(weights|ids))$")
"""Buffers some checkpoints carry that are not weights: rotary tables and the training batch's local rows."""


def from_official(config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> HRM | TRM:
    """The model of an official checkpoint, in evaluation mode.

    Args:
        config: the `arch` settings of the official code together with what its loader adds (`vocab_size`, `seq_len`,
            `num_puzzle_identifiers`).
        state_dict: the official names, with or without `_orig_mod.`.

    Raises:
        InputError: a setting is missing or unknown, or a tensor is missing, left over or of another shape.
    """
    weights = {ours_of(name): tensor for name, tensor in state_dict.items() if not _NOT_WEIGHTS.search(name)}
    is_hrm = any(name.startswith("H_level.") for name in weights)
    model = HRM(_hrm_config(config)) if is_hrm else TRM(_trm_config(config))
    load_into(model, weights)
    return model.eval()


def ours_of(name: str) -> str:
    """Our name of an official tensor."""
    return _PREFIXES.sub("", name).replace("embedding_weight", "weight")


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "vocab_size": "vocab_size",
        "seq_len": "seq_len",
        "num_puzzle_identifiers": "num_puzzle_ids",
        "puzzle_emb_ndim": "puzzle_emb_dim",
        "hidden_size": "hidden_size",
        "num_heads": "num_heads",
        "expansion": "expansion",
        "H_cycles": "H_cycles",
        "L_cycles": "L_cycles",
        "L_layers": "L_layers",
    }
    missing = sorted(name for name in names if name not in config)
    if missing:
        raise InputError(
            f"settings without {', '.join(missing)}",
            "the arch settings of the official code and the data set's sizes",
            "pass the data set's metadata (vocab_size, seq_len, num_puzzle_identifiers) too",
        )
    settings = {ours: config[theirs] for theirs, ours in names.items()}
    settings["positions"] = config.get("pos_encodings", "rope") or "none"
    settings["norm_eps"] = config.get("rms_norm_eps", 1e-5)
    settings["rope_base"] = config.get("rope_theta", 10000.0)
    if settings["positions"] not in ("rope", "learned", "none"):
        raise InputError(
            f"pos_encodings {settings['positions']!r}", "rope, learned, none", "correct the settings"
        )
    return settings


def _hrm_config(config: Mapping[str, Any]) -> HRMConfig:
    return HRMConfig(**_shared(config), H_layers=config["H_layers"])


def _trm_config(config: Mapping[str, Any]) -> TRMConfig:
    return TRMConfig(
        **_shared(config),
        mixing="mlp" if config.get("mlp_t", False) else "attention",
        puzzle_emb_len=config.get("puzzle_emb_len", 0),
    )
