"""A small language model with random weights, problems to fine-tune it on, and a recipe of seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from thinkling.artifacts.weights import write_model_folder
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.model import Decoder
from thinkling.lm.run_files import PRETRAINING, TOKENIZER, description
from thinkling.lm.sft_recipe import SftRecipe


def digits(numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Problems that can be learned in seconds: say the last digit of a number, after repeating the number."""
    for number in numbers:
        yield {"problem": f"last of {number}?", "reasoning": f"{number}", "answer": str(number % 10)}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_base_run(folder: Path, length: int = 64) -> Path:
    """A run folder of the pre-training stage with random weights and a tokenizer of 300 tokens."""
    texts = ["user", "assistant", *["user assistant"] * 50]
    texts += [f"last of {number}? it is {number % 10}, of {number}." for number in range(200)]
    tokenizer = ChatTokenizer.train(texts, 300)
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        max_length=length,
        hidden_size=64,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        inner_size=128,
    )
    model = Decoder(config, torch.Generator().manual_seed(0))
    write_model_folder(folder, description(config, PRETRAINING), model.state_dict())
    tokenizer.save(folder / TOKENIZER)
    return folder


def short_recipe(steps: int = 1, **changes: Any) -> SftRecipe:
    """Rows of 64 positions, eight a step, in fp32; steps of 1: as many as the epochs make."""
    recipe = SftRecipe()
    settings = {"learning_rate": 5e-3, "log_every": 5, "compute_dtype": "float32"}
    train = replace(recipe.train, steps=steps, **settings | changes)  # type: ignore[arg-type]  # a test's
    return replace(recipe, train=train, batch_size=8)
