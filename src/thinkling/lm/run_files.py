"""What every language model's run folder holds beside its weights: settings and the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import check_config, file_of_run, find_model_folder, read_config
from thinkling.artifacts.settings import settings_of
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.hf_files import hf_config

TOKENIZER = "tokenizer.json"
"""Name of the tokenizer's file."""

PRODUCT = ARCHITECTURE = "lm"
PRETRAINING = "pretraining"
CHAT = "chat"
STAGES = (PRETRAINING, CHAT)
"""How far a language model has been trained, by the name in config.json: on plain text, or on conversations too."""


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """A run folder that has been read, weights excepted."""

    folder: Path
    """The model folder: the run itself or one of its checkpoints."""
    config: dict[str, Any]
    """All of config.json."""
    tokenizer: ChatTokenizer
    """How the model cuts text."""
    model: DecoderConfig
    """Its architecture."""

    @property
    def stage(self) -> str:
        """How far the model has been trained: one of `STAGES`."""
        return str(self.config["task"]["name"])


def description(
    model: DecoderConfig, stage: str, objective: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What config.json says of a run, besides training settings and provenance.

    Transformers' keys for the same architecture stand beside ours, so that the folder opens there too.

    Args:
        model: the architecture.
        stage: one of `STAGES`.
        objective: what was learned from, and how.
    """
    return {
        **hf_config(model),
        "product": PRODUCT,
        "architecture": ARCHITECTURE,
        "model": asdict(model),
        "task": {"name": stage},
        "objective": dict(objective or {}),
    }


def read_run(run: str | Path, stage: str | None = None) -> RunFiles:
    """The settings and the tokenizer of a run.

    Args:
        run: a run folder, a checkpoint inside one, a folder written by `save_pretrained`, or an `hf://` address.
        stage: how far the model must have been trained; None: any of `STAGES`.

    Raises:
        InputError: a file is missing, damaged or does not fit the others, or the run is of another kind.
    """
    place = fetched(run)
    folder = find_model_folder(place)
    config = read_config(folder)
    _check_kind(folder, config, stage)
    model = settings_of(DecoderConfig, config["model"], "model")
    tokenizer = ChatTokenizer.load(file_of_run(place, folder, TOKENIZER))
    if tokenizer.vocab_size != model.vocab_size:
        raise InputError(
            f"{folder}: a tokenizer of {tokenizer.vocab_size} tokens",
            f"{model.vocab_size}, as the model has",
            f"use the {TOKENIZER} that the model was trained with",
        )
    return RunFiles(folder=folder, config=config, tokenizer=tokenizer, model=model)


def _check_kind(folder: Path, config: Mapping[str, Any], stage: str | None) -> None:
    expected = {"product": PRODUCT, "architecture": ARCHITECTURE}
    check_config(folder, config, expected, ("model", "task"), "a language model's run")
    found = config["task"].get("name") if isinstance(config["task"], Mapping) else config["task"]
    wanted = STAGES if stage is None else (stage,)
    if found not in wanted:
        raise InputError(
            f"a run of the stage {found!r}",
            " or ".join(map(repr, wanted)),
            "train it on conversations first: thinkling train lm-sft" if stage == CHAT else "use another run",
        )
