"""A trained text classifier as a user holds it.

Shapes: N texts, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkling.data.tokenizer import TextTokenizer
from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.slots import Answer
from thinkling.thinking_bert.classifier import TextClassifier
from thinkling.thinking_bert.classify_data import read_labelled, scored_file
from thinkling.thinking_bert.classify_evaluate import ClassifyScore, evaluate_classifier
from thinkling.thinking_bert.classify_examples import rows_of
from thinkling.thinking_bert.encoder_model import TextHalt, halt_rule, step_limit
from thinkling.thinking_bert.run_files import CLASSIFICATION, read_run
from thinkling.thinking_bert.text_model import TextModel, with_weights
from thinkling.thinking_bert.text_stream import TextRow, answered


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What came out for one text."""

    text: str
    """As asked."""
    label: str
    """The class chosen."""
    probability: float
    """Of that class."""
    probabilities: Mapping[str, float]
    """Of every class, by its label."""
    steps: int
    """Rounds spent."""
    q_halt: float
    """Probability that the class is right, by the model's own halt value."""

    def as_json(self) -> dict[str, Any]:
        """All of it but the text."""
        return {
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "steps": self.steps,
            "q_halt": self.q_halt,
        }


class ClassifierModel(TextModel[TextClassifier]):
    """A text classifier ready to use. Made by `thinkling.load`."""

    def __init__(
        self,
        network: TextClassifier,
        tokenizer: TextTokenizer,
        labels: Sequence[str],
        halting: HaltingConfig,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__(network, tokenizer, halting, config)
        self.labels = tuple(labels)

    @classmethod
    def from_folder(
        cls,
        run: Path | str,
        *,
        device: str = "auto",
        compute_dtype: ComputeDtype = "auto",
        averaged: bool = True,
    ) -> ClassifierModel:
        """The model of a run folder, of a checkpoint inside one, or of a folder written by `save_pretrained`.

        Args:
            run: the folder, or an `hf://` address.
            device: auto, cpu, cuda or mps.
            compute_dtype: dtype of matrix products.
            averaged: take the averaged weights where there are any.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        files = read_run(run, CLASSIFICATION)
        labels = files.config["task"].get("labels")
        if not isinstance(labels, list) or len(labels) < 2:
            raise InputError(
                f"task.labels {labels!r} in {files.folder / 'config.json'}",
                "a list of two or more labels",
                "use another checkpoint or run",
            )
        network = with_weights(
            TextClassifier(files.model, len(labels)),
            files,
            device=device,
            compute_dtype=compute_dtype,
            averaged=averaged,
        )
        return cls(network, files.tokenizer, labels, files.halting, files.config)

    def classify(
        self,
        texts: Iterable[str],
        *,
        halt: TextHalt = "q",
        steps: int | None = None,
        threshold: float | None = None,
    ) -> list[Classified]:
        """The class of each text. Texts longer than the model are cut, as in training.

        Args:
            texts: any number of them.
            halt: stop when the Q value says so, or never before the limit.
            steps: limit of rounds; the trained one by default.
            threshold: of the halting rule, between 0 and 1; the model's own by default.

        Raises:
            InputError: a text is empty or no Unicode, or a setting is out of its range.
        """
        return list(self.classify_many(texts, halt=halt, steps=steps, threshold=threshold))

    def classify_many(
        self,
        texts: Iterable[str],
        *,
        halt: TextHalt = "q",
        steps: int | None = None,
        threshold: float | None = None,
        place: str = "text",
    ) -> Iterator[Classified]:
        """The same as a stream in the order of the texts; `place` is what errors call a text, before its number."""
        if isinstance(texts, str):
            raise InputError(f"one text, {texts[:40]!r}", "a list of texts", "put it in brackets")
        rule, limit = halt_rule(halt, self.halting, threshold), step_limit(steps, self.halting)
        with weights_cast_once(self.network, self.network.compute_dtype):
            yield from answered(
                self._rows(texts, place),
                self.network,
                self._classified,
                rule=rule,
                max_steps=limit,
                most_tokens=self.network.config.max_length,
            )

    def evaluate(
        self,
        data: Path,
        *,
        halt: TextHalt = "q",
        steps: int | None = None,
        threshold: float | None = None,
        limit: int = 0,
    ) -> ClassifyScore:
        """Score the model on labelled texts.

        Args:
            data: a TSV or CSV file; or a folder, of which `test` is taken, or `dev` where there is no such file.
            halt, steps, threshold: as for `classify`.
            limit: only the first so many texts (0: all).

        Raises:
            InputError: the file is malformed, or has a label that the model does not know.
        """
        file = scored_file(Path(data))
        found = list(itertools.islice(read_labelled(file), limit or None))
        unknown = next((label for label, _ in found if label not in self.labels), None)
        if unknown is not None or not found:
            raise InputError(
                f"{file}: label {unknown!r}" if found else f"{file}: no text",
                f"texts with the labels {', '.join(self.labels)}",
                "use data of the model's own kind",
            )
        rows, _ = rows_of([text for _, text in found], self.tokenizer, self.network.config.max_length)
        return evaluate_classifier(
            self.network,
            rows,
            np.array([self.labels.index(label) for label, _ in found]),
            halt_rule(halt, self.halting, threshold),
            max_steps=step_limit(steps, self.halting),
        )

    def _rows(self, texts: Iterable[str], place: str) -> Iterator[TextRow]:
        for number, text in enumerate(texts, 1):
            try:
                if not text.strip():
                    raise InputError("an empty text", "at least one word", "give a text")
                rows, _ = rows_of([text], self.tokenizer, self.network.config.max_length)
            except InputError as error:
                raise error.at(f"{place} {number}") from None
            yield rows[0]

    def _classified(self, row: TextRow, answer: Answer) -> Classified:
        assert answer.logits is not None
        shares = torch.softmax(answer.logits[0], dim=-1).tolist()
        best = int(answer.tokens[0])
        return Classified(
            text=row.text,
            label=self.labels[best],
            probability=shares[best],
            probabilities=dict(zip(self.labels, shares, strict=True)),
            steps=answer.steps,
            q_halt=answer.q_halt,
        )
