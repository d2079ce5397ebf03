"""What every Thinking-BERT run folder holds beside its weights: settings, halting, the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkling.artifacts.hub import fetched
from thinkling.artifacts.run_folder import check_config, file_of_run, find_model_folder, read_config
from thinkling.artifacts.settings import settings_of
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.config import ThinkingBertConfig

TOKENIZER = "tokenizer.json"
"""Name of the tokenizer's file."""

PRODUCT = ARCHITECTURE = "thinking_bert"
MASKED_LANGUAGE = "masked-language"
CLASSIFICATION = "classification"
TASKS = (MASKED_LANGUAGE, CLASSIFICATION)
"""What a Thinking-BERT is trained for, by the name in config.json."""


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """A run folder that has been read, weights excepted."""

    folder: Path
    """The model folder: the run itself or one of its checkpoints."""
    config: dict[str, Any]
    """All of config.json."""
    tokenizer: TextTokenizer
    """How the model cuts text."""
    model: ThinkingBertConfig
    """Its architecture."""
    halting: HaltingConfig
    """How it halts."""


def read_run(run: str | Path, task: str | None = None) -> RunFiles:
    """The settings and the tokenizer of a run.

    Args:
        run: a run folder, a checkpoint inside one, a folder written by `save_pretrained`, or an `hf://` address.
        task: what the run must be for; None: any of `TASKS`.

    Raises:
        InputError: a file is missing, damaged or does not fit the others, or the run is of another kind.
    """
    place = fetched(run)
    folder = find_model_folder(place)
    config = read_config(folder)
    _check_kind(folder, config, task)
    model = settings_of(ThinkingBertConfig, config["model"], "model")
    tokenizer = TextTokenizer.load(file_of_run(place, folder, TOKENIZER))
    if tokenizer.vocab_size != model.vocab_size:
        raise InputError(
            f"{folder}: a tokenizer of {tokenizer.vocab_size} tokens",
            f"{model.vocab_size}, as the model has",
            f"use the {TOKENIZER} that the model was trained with",
        )
    return RunFiles(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        model=model,
        halting=settings_of(HaltingConfig, config["halting"], "halting"),
    )


def _check_kind(folder: Path, config: Mapping[str, Any], task: str | None) -> None:
    expected = {"product": PRODUCT, "architecture": ARCHITECTURE}
    check_config(folder, config, expected, ("model", "task", "halting"), "a Thinking-BERT run")
    found = config["task"].get("name") if isinstance(config["task"], Mapping) else config["task"]
    wanted = TASKS if task is None else (task,)
    if found not in wanted:
        raise InputError(
            f"a run for the task {found!r}",
            " or ".join(map(repr, wanted)),
            "train a masked-language model first" if task == MASKED_LANGUAGE else "use another run",
        )
