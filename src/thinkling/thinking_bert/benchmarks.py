"""Benchmarks of Thinking-BERT: training speed, filling masks, and what halting saves.

They measure wall-clock time: run them on a machine that does nothing else.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from thinkling.artifacts.provenance import hardware
from thinkling.data.batch import TextBatch
from thinkling.data.text_store import TextStore, write_text_store
from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.thinking.halting import HaltingConfig, HaltRuleName
from thinkling.thinking_bert.cost import cost
from thinkling.thinking_bert.encoder_model import EncoderModel, TextHalt
from thinkling.thinking_bert.evaluate import evaluate
from thinkling.thinking_bert.recipes import RECIPES
from thinkling.thinking_bert.rows import Stage
from thinkling.thinking_bert.train import fitted, objective_of
from thinkling.training.objective import Shard
from thinkling.training.speed import training_speed

_WORDS = 5000
_MANY_DOCUMENTS = 400


def bench_training(
    recipe_name: str = "thinking-bert",
    *,
    batch_size: int = 64,
    length: int = 128,
    steps: int = 8,
    device: str = "auto",
    compute_dtype: ComputeDtype = "auto",
) -> dict[str, Any]:
    """Training speed of a recipe, all rounds with the target of the continue value, on made-up text.

    Args:
        recipe_name: which recipe.
        batch_size: rows.
        length: tokens of a row.
        steps: measured steps, after two of warm-up.
        device: auto, cpu, cuda or mps.
        compute_dtype: of the matrix products.
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}", "1 or more", "give a larger number")
    started = time.perf_counter()
    place = pick_device(device)
    dtype = resolve_dtype(compute_dtype, place)
    recipe = RECIPES[recipe_name]()
    recipe = replace(
        recipe,
        # From the first step as in the later part of training: more than one round, and its value learned.
        halting=replace(recipe.halting, first_limit=2, limit_growth=0),
        stages=(Stage(length=length, batch_size=batch_size, share=1.0),),
        train=replace(recipe.train, compute_dtype=compute_dtype),
        validation_rows=1,
    )
    with TemporaryDirectory() as folder:
        store = _made_up_text(Path(folder) / "store", recipe.model.vocab_size)
        objective = objective_of(fitted(recipe, store), store, Shard(), device)
        needed = cost(
            objective.model,
            length=length,
            mask_rate=recipe.masking.rate,
            learning=recipe.halting.learning,
            batch_size=batch_size,
        )
        speed = training_speed(
            objective, recipe.train, flops=needed.training_flops * batch_size, steps=steps, dtype=dtype
        )
    return {
        "recipe": recipe_name,
        "params": needed.params,
        "batch_size": batch_size,
        "length": length,
        "dtype": str(dtype).removeprefix("torch."),
        "token_rounds_per_second": round(batch_size * length / speed["step_seconds"]),
        **speed,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def bench_fill(model: EncoderModel, *, sentences: int = 1000, tokens: int = 64) -> dict[str, Any]:
    """Filling one mask in each of many texts of a given length, all rounds and with halting.

    Args:
        model: the model.
        sentences: how many texts.
        tokens: ordinary tokens of each.
    """
    started = time.perf_counter()
    texts = _random_texts(model.tokenizer, sentences, tokens)
    found: dict[str, Any] = {}
    rules: tuple[TextHalt, ...] = ("never", "q")
    for name in rules:
        begun = time.perf_counter()
        steps = [filled.masks[0].steps for filled in model.fill_many(texts, halt=name)]
        taken = time.perf_counter() - begun
        found[name] = {
            "seconds": round(taken, 2),
            "texts_per_second": round(sentences / taken, 1),
            "mean_steps": float(np.mean(steps)),
        }
    return {
        "sentences": sentences,
        "tokens": tokens,
        "fixed": found["never"],
        "halting": found["q"],
        "params": model.params,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def bench_halting(
    model: EncoderModel, rows: TextBatch, halting: HaltingConfig, *, slots: int = 64, repeats: int = 3
) -> dict[str, Any]:
    """All rounds against halting by the Q values, on the same rows, in one run.

    Args:
        model: the model.
        rows: masked rows with labels.
        halting: the settings of the rule.
        slots: rows in work at once.
        repeats: rounds; the best time of each rule counts.
    """
    started = time.perf_counter()
    rules: tuple[HaltRuleName, ...] = ("never", "q")
    best: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for name in rules:
            score = asdict(evaluate(model.network, rows, halting, halt=name, slots=slots))
            if name not in best or score["seconds"] < best[name]["seconds"]:
                best[name] = score
    fixed, halted = best["never"], best["q"]
    return {
        "speedup": round(fixed["seconds"] / halted["seconds"], 3),
        "rounds_saved": round(1 - halted["mean_steps"] / fixed["mean_steps"], 4),
        "relative_accuracy_lost": round(1 - halted["masked_accuracy"] / fixed["masked_accuracy"], 5),
        "threshold": halting.threshold,
        "fixed": fixed,
        "halting": halted,
        "params": model.params,
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _made_up_text(folder: Path, vocab_size: int) -> TextStore:
    """Random words: speed does not depend on what they mean. Enough to fill the vocabulary of a published size."""
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(letters[draw.integers(0, 26, size)]) for size in draw.integers(2, 9, _WORDS * 4)]
    texts = [
        " ".join(words[place] for place in draw.integers(0, len(words), 400)) for _ in range(_MANY_DOCUMENTS)
    ]
    return write_text_store(lambda: texts, folder, vocab_size=vocab_size)


def _random_texts(tokenizer: TextTokenizer, count: int, tokens: int) -> list[str]:
    """Texts of so many tokens, one of them a mask, in words of one token each."""
    words = [
        text
        for text in (tokenizer.token(number) for number in range(5, tokenizer.vocab_size))
        if text.startswith(" ") and text[1:].isascii() and text[1:].isalpha()
    ]
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(count):
        chosen = [words[place] for place in draw.integers(0, len(words), tokens)]
        chosen[int(draw.integers(0, tokens))] = " <mask>"
        texts.append("".join(chosen).strip())
    return texts
