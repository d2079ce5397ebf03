"""`thinkling eval RUN --data DATA` for a Thinking-BERT: how well it finds masked tokens, or classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.data.batch import TextBatch
from thinkling.data.masking import MaskingConfig
from thinkling.data.text_store import TextStore, read_text_store
from thinkling.errors import InputError
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking_bert.classifier_model import ClassifierModel
from thinkling.thinking_bert.count_baseline import CountBaseline
from thinkling.thinking_bert.encoder_model import EncoderModel
from thinkling.thinking_bert.evaluate import (
    DEFAULT_SLOTS,
    Share,
    evaluate,
    halting_curve,
    pseudo_perplexity,
    round_by_round,
)
from thinkling.thinking_bert.objective import VALIDATION_SEED
from thinkling.thinking_bert.rows import SCORED_MASK_RATE, MaskedRows, for_scoring


@dataclass(frozen=True, kw_only=True)
class TextArguments(CommandArguments):
    """Score a Thinking-BERT on the held-out documents of a tokenised corpus."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    data: Path
    """A tokenised corpus with the model's own vocabulary, such as the folder `text` inside the run."""
    split: Literal["test", "validation", "train"] = "test"
    """Which documents."""
    limit: int = 1000
    """Score at most so many rows, spread over the documents (0: all)."""
    length: int = 0
    """Tokens of a row (0: as many as the model reads)."""
    mask_rate: float = SCORED_MASK_RATE
    """Share of the tokens that is masked."""
    whole_words: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Mask whole words, which is harder."""
    steps: int = 0
    """Limit of rounds (0: the trained one)."""
    halt: Literal["q", "never"] = "q"
    """What stops a row: the model's Q values, or only the limit."""
    threshold: float | None = None
    """For --halt q: how much less than thinking on halting may promise; the model's own setting where not given."""
    pseudo_perplexity: int = 0
    """Compute the pseudo-perplexity, one token masked at a time, over so many rows (0: leave it out)."""
    curve: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also list rounds and accuracy for thresholds from 0.4 to 0.6: accuracy against compute."""
    baseline: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also score counting: each token from its two neighbours, as often as seen in the training documents."""
    slots: int = DEFAULT_SLOTS
    """Rows in work at once."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


@dataclass(frozen=True, kw_only=True)
class ClassifierArguments(CommandArguments):
    """Score a text classifier on labelled texts."""

    run_folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """The run folder."""
    data: Path
    """A TSV or CSV file with labels and texts, or a folder with test or dev."""
    limit: int = 0
    """Score only the first so many texts (0: all)."""
    steps: int = 0
    """Limit of rounds (0: the trained one)."""
    halt: Literal["q", "never"] = "q"
    """What stops a text: the model's Q value, or only the limit."""
    threshold: float | None = None
    """For --halt q: least probability of being right; the model's own setting where not given."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Dtype of matrix products."""


def run(arguments: TextArguments | ClassifierArguments) -> dict[str, Any]:
    """Score and return the contract's keys, and those of the run's kind."""
    if isinstance(arguments, ClassifierArguments):
        return _run_classifier(arguments)
    return _run_masked_language(arguments)


def _run_classifier(arguments: ClassifierArguments) -> dict[str, Any]:
    _check_counts(arguments, "limit", "steps")
    model = ClassifierModel.from_folder(
        arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype
    )
    score = model.evaluate(
        fetched(arguments.data),
        halt=arguments.halt,
        steps=arguments.steps or None,
        threshold=arguments.threshold,
        limit=arguments.limit,
    )
    return score.as_json() | {"halt": arguments.halt, "params": model.params}


def _check_counts(arguments: TextArguments | ClassifierArguments, *names: str) -> None:
    for name in names:
        if getattr(arguments, name) < 0:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} {getattr(arguments, name)}", "0 or more", f"give another {flag}")


def _run_masked_language(arguments: TextArguments) -> dict[str, Any]:
    _check_counts(arguments, "limit", "length", "steps", "pseudo_perplexity")
    if arguments.slots < 1:
        raise InputError(f"--slots {arguments.slots}", "1 or more", "give another --slots")
    model = EncoderModel.from_folder(
        arguments.run_folder, device=arguments.device, compute_dtype=arguments.compute_dtype
    )
    source, rows, store = scored_rows(
        model,
        arguments.data,
        arguments.split,
        limit=arguments.limit,
        length=arguments.length,
        masking=for_scoring(arguments.mask_rate, whole_words=arguments.whole_words),
    )
    halting = with_threshold(model.halting, arguments.threshold)
    limit = arguments.steps or halting.max_steps
    score = evaluate(model.network, rows, halting, halt=arguments.halt, steps=limit, slots=arguments.slots)
    values = dataclasses.asdict(score) | {
        "cell_accuracy": score.masked_accuracy,
        "valid_rate": None,
        "halt": arguments.halt,
        "max_steps": limit,
        "params": model.params,
    }
    if arguments.baseline:
        counts = CountBaseline().fit(store.train, store.tokenizer.vocab_size)
        guesses = counts.predict(rows.inputs.numpy(), rows.documents.numpy(), rows.positions.numpy())
        labels = rows.labels.numpy()
        share = Share.of((guesses == labels).sum(1), (labels >= 0).sum(1))
        values["baseline_accuracy"] = share.value
        values["baseline_accuracy_interval"] = (share.low, share.high)
    if arguments.curve:
        free = round_by_round(model.network, rows, steps=limit, size=arguments.slots)
        points = halting_curve(free, halting, [round(0.4 + 0.01 * place, 2) for place in range(21)])
        values["halting_curve"] = [dataclasses.asdict(point) for point in points]
    if arguments.pseudo_perplexity:
        values["pseudo_perplexity_by_step"] = pseudo_perplexity(
            model.network, source, steps=limit, count=arguments.pseudo_perplexity, size=arguments.slots
        )
    return values


def scored_rows(
    model: EncoderModel,
    data: Path,
    split: Literal["test", "validation", "train"],
    *,
    limit: int,
    length: int = 0,
    masking: MaskingConfig | None = None,
) -> tuple[MaskedRows, TextBatch, TextStore]:
    """Masked rows of a tokenised corpus, checked to fit the model: where they come from, the rows, the corpus.

    Args:
        model: whose vocabulary the corpus must have.
        data: the tokenised corpus.
        split: which of its documents.
        limit: rows at most; 0: all.
        length: tokens of a row; 0: as many as the model reads.
        masking: which tokens are masked; 15 % of them where not given.

    Raises:
        InputError: no such corpus, or one tokenised with another vocabulary.
    """
    store = read_text_store(fetched(data))
    if store.tokenizer.to_json() != model.tokenizer.to_json():
        raise InputError(
            f"{data}: tokenised with another vocabulary than the model's",
            "a corpus tokenised with the tokenizer of the run",
            "thinkling data import text SOURCE --tokenizer RUN/tokenizer.json --out DIR",
        )
    source = MaskedRows(
        getattr(store, split),
        store.tokenizer,
        length or model.network.config.max_length,
        masking or for_scoring(),
    )
    return source, source.scored(limit or len(source), VALIDATION_SEED), store


def with_threshold(halting: HaltingConfig, threshold: float | None) -> HaltingConfig:
    """The halting settings with another threshold, where one is given."""
    return halting if threshold is None else dataclasses.replace(halting, threshold=threshold)
