"""A trained Thinking-BERT as a user holds it: fills masks, turns texts into vectors.

Shapes: N texts, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.nn.precision import ComputeDtype
from thinkling.thinking.halting import HaltingConfig, HaltRule
from thinkling.thinking.slots import Answer
from thinkling.thinking_bert.embed import Embedder
from thinkling.thinking_bert.fill_mask import Filled, TextTokensOnly, filled, masked_row, text_row
from thinkling.thinking_bert.model import ThinkingBert
from thinkling.thinking_bert.run_files import MASKED_LANGUAGE, read_run
from thinkling.thinking_bert.text_model import TextModel, with_weights
from thinkling.thinking_bert.text_stream import TextRow, answered

TextHalt = Literal["q", "never"]
"""What stops a text: the model's Q value, or only the limit of rounds."""


def halt_rule(name: TextHalt, halting: HaltingConfig, threshold: float | None = None) -> HaltRule:
    """The stopping rule of a model's settings, perhaps with another threshold.

    Raises:
        InputError: an unknown rule, or a threshold that is no probability.
    """
    if name not in ("q", "never"):
        raise InputError(f"halt {name!r}", "q, never", "nobody can check a text: use one of these")
    if threshold is not None:
        halting = dataclasses.replace(halting, threshold=threshold)
    return HaltRule.of(name, halting)


def step_limit(steps: int | None, halting: HaltingConfig) -> int:
    """Rounds after which a text stops in any case.

    Raises:
        InputError: fewer than one.
    """
    if steps is not None and steps < 1:
        raise InputError(f"steps {steps}", "1 or more", "give another number of rounds")
    return halting.max_steps if steps is None else steps


class EncoderModel(TextModel[ThinkingBert]):
    """A Thinking-BERT ready to use. Made by `thinkling.load`."""

    @classmethod
    def from_folder(
        cls,
        run: Path | str,
        *,
        device: str = "auto",
        compute_dtype: ComputeDtype = "auto",
        averaged: bool = True,
    ) -> EncoderModel:
        """The model of a run folder, of a checkpoint inside one, or of a folder written by `save_pretrained`.

        Args:
            run: the folder, or an `hf://` address.
            device: auto, cpu, cuda or mps.
            compute_dtype: dtype of matrix products.
            averaged: take the averaged weights where there are any.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        files = read_run(run, MASKED_LANGUAGE)
        network = with_weights(
            ThinkingBert(files.model), files, device=device, compute_dtype=compute_dtype, averaged=averaged
        )
        return cls(network, files.tokenizer, files.halting, files.config)

    def fill(
        self,
        text: str,
        *,
        top_k: int = 5,
        halt: TextHalt = "q",
        steps: int | None = None,
        threshold: float | None = None,
    ) -> Filled:
        """The likeliest tokens for each mask of a text, and what they were after every round.

        Args:
            text: with `<mask>`, `<MASK>` or `[MASK]` where a token is wanted.
            top_k: candidates for each mask.
            halt: stop when the Q value says so, or never before the limit.
            steps: limit of rounds; the trained one by default.
            threshold: of the halting rule, between 0 and 1; the model's own by default.

        Raises:
            InputError: the text is empty, has no mask, is longer than the model, or is no Unicode; or a setting is
                out of its range.
        """
        row = masked_row(text, self.tokenizer, self.network.config.max_length)
        return next(self._filled(iter([row]), top_k, halt, steps, threshold, trace=True))

    def fill_many(
        self,
        texts: Iterable[str],
        *,
        top_k: int = 5,
        halt: TextHalt = "q",
        steps: int | None = None,
        threshold: float | None = None,
        trace: bool = False,
        place: str = "text",
    ) -> Iterator[Filled]:
        """The same for a stream of texts, in their order; memory does not grow with their number.

        Args:
            texts: as for `fill`.
            top_k, halt, steps, threshold: as for `fill`.
            trace: keep what every round said.
            place: what errors call a text, before its number (from 1).

        Raises:
            InputError: as for `fill`, naming the text; those before it are answered first.
        """
        rows = _numbered(texts, place, self._masked_row)
        return self._filled(rows, top_k, halt, steps, threshold, trace=trace)

    def encode(
        self, texts: Iterable[str], *, halt: TextHalt = "never", steps: int | None = None, place: str = "text"
    ) -> NDArray[np.float32]:
        """A vector of length 1 for each text: [N, D], the mean of its tokens' states.

        Args:
            texts: any number of them.
            halt: stop when the Q value says so, or never before the limit. The Q value was trained on texts with
                masks, so by default every round is run.
            steps: limit of rounds; the trained one by default.
            place: what errors call a text, before its number (from 1).

        Raises:
            InputError: a text is empty, longer than the model, or no Unicode.
        """
        found = list(self._vectors(texts, halt, steps, place, tokens=False))
        width = self.network.config.hidden_size
        return np.concatenate(found) if found else np.empty((0, width), dtype=np.float32)

    def encode_tokens(
        self, texts: Iterable[str], *, halt: TextHalt = "never", steps: int | None = None, place: str = "text"
    ) -> list[NDArray[np.float32]]:
        """The state of every token of each text: [tokens, D], `<CLS>` and `<SEP>` left out. Otherwise as `encode`."""
        return list(self._vectors(texts, halt, steps, place, tokens=True))

    def _masked_row(self, text: str) -> TextRow:
        return masked_row(text, self.tokenizer, self.network.config.max_length)

    def _text_row(self, text: str) -> TextRow:
        return text_row(text, self.tokenizer, self.network.config.max_length)

    def _filled(
        self,
        rows: Iterator[TextRow],
        top_k: int,
        halt: TextHalt,
        steps: int | None,
        threshold: float | None,
        *,
        trace: bool,
    ) -> Iterator[Filled]:
        if top_k < 1:
            raise InputError(f"top_k {top_k}", "1 or more", "ask for at least one candidate")
        rule, limit = halt_rule(halt, self.halting, threshold), step_limit(steps, self.halting)

        def finish(row: TextRow, answer: Answer) -> Filled:
            return filled(row, answer, self.tokenizer, top_k)

        def stream() -> Iterator[Filled]:
            with weights_cast_once(self.network, self.network.compute_dtype):
                yield from answered(
                    rows,
                    TextTokensOnly(self.network),
                    finish,
                    rule=rule,
                    max_steps=limit,
                    most_tokens=self.network.config.max_length,
                    trace=trace,
                )

        return stream()

    def _vectors(
        self, texts: Iterable[str], halt: TextHalt, steps: int | None, place: str, *, tokens: bool
    ) -> Iterator[NDArray[np.float32]]:
        rule, limit = halt_rule(halt, self.halting), step_limit(steps, self.halting)

        def finish(row: TextRow, answer: Answer) -> NDArray[np.float32]:
            assert answer.logits is not None
            vectors: NDArray[np.float32] = answer.logits.cpu().numpy()
            # A copy: the answer is a view of the whole batch.
            return (vectors[1 : len(row.tokens) - 1] if tokens else vectors).copy()

        with weights_cast_once(self.network, self.network.compute_dtype):
            yield from answered(
                _numbered(texts, place, self._text_row),
                Embedder(self.network, tokens=tokens),
                finish,
                rule=rule,
                max_steps=limit,
                most_tokens=self.network.config.max_length,
            )


def _numbered(texts: Iterable[str], place: str, row_of: Callable[[str], TextRow]) -> Iterator[TextRow]:
    for number, text in enumerate(texts, 1):
        try:
            row = row_of(text)
        except InputError as error:
            raise error.at(f"{place} {number}") from None
        yield row
