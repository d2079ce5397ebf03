"""Small labelled texts, and a classifier trained on them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_encoder import sentences

from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.classify_recipe import ClassifyRecipe
from thinkling.training.config import TrainConfig


def label_of(text: str) -> str:
    """What the small classifier learns: one word decides."""
    words = text.split()
    return "cat" if "cat" in words else "dog" if "dog" in words else "none"


def write_texts(path: Path, count: int, seed: int = 7) -> None:
    """A TSV of labelled sentences."""
    rows = [f"{label_of(text)}\t{text}\n" for text in sentences(count, seed, most=7)]
    path.write_text("".join(rows), encoding="utf-8")


def short_recipe(steps: int, **changes: Any) -> ClassifyRecipe:
    """By steps, in fp32: the same numbers on every machine."""
    training = TrainConfig(
        steps=steps,
        learning_rate=3e-3,
        warmup_steps=10,
        optimizer="adamw",
        decay_biases=False,
        validate_every=0,
        checkpoint_every=10,
        log_every=5,
        compute_dtype="float32",
    )
    settings: dict[str, Any] = {
        "train": training,
        "halting": HaltingConfig(learning="halt_only", max_steps=3, exploration=0.5),
        "epochs": 0,
        "batch_size": 16,
    }
    return ClassifyRecipe(**settings | changes)
