"""Training rows from several corpora, mixed by weights that change with the stage of training.

Which row of which corpus comes when is a function of (seed, step): nothing has to be saved to go on with a run. Each
corpus is gone through epoch by epoch, every epoch in an order of its own.

Shapes: K rows, L positions of a row, N corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinkling.data.packing import NextTokenPacking
from thinkling.data.sampling import example_of_item, random_words
from thinkling.data.text_store import TokenDocuments
from thinkling.data.token_rows import IGNORED, TokenRows
from thinkling.errors import InputError

_PERIOD = 10_000
"""Rows after which the order of the corpora repeats: weights are kept to a ten-thousandth."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of training with one mixture."""

    share: float
    """Share of the training steps."""
    weights: tuple[float, ...] = ()
    """Share of the rows from each corpus, in their order, in any unit; none: by the size of the corpora."""


def check_phases(phases: Sequence[Phase]) -> None:
    """Refuses a curriculum that cannot work.

    Raises:
        InputError: no phase, shares that do not add up to 1, a weight below 0, or nothing but weights of 0.
    """
    if not phases:
        raise InputError("a curriculum without phases", "one or more", "set phases")
    total = sum(phase.share for phase in phases)
    if min(phase.share for phase in phases) <= 0 or abs(total - 1) > 1e-6:
        raise InputError(
            f"phases with the shares {', '.join(f'{phase.share:g}' for phase in phases)}",
            "shares above 0 that add up to 1",
            "change the shares of the phases",
        )
    for phase in phases:
        if phase.weights and (min(phase.weights) < 0 or not sum(phase.weights) > 0):
            raise InputError(
                f"the weights {phase.weights} of a phase", "0 or more, not all 0", "change the weights"
            )


class MixtureRows:
    """Rows of a training run from one or several corpora.

    Args:
        sources: the tokenised corpora.
        length: L.
        bos_id: token that begins a document.
        eos_id: token that ends one.
        phases: the mixture of each stage of training.
        steps: steps of the whole training, parts of accumulated ones counted.
        seed: of the order of the rows.

    Raises:
        InputError: an empty corpus, or not as many weights as corpora.
    """

    def __init__(
        self,
        sources: Sequence[TokenDocuments],
        *,
        length: int,
        bos_id: int,
        eos_id: int,
        phases: Sequence[Phase] = (Phase(share=1.0),),
        steps: int,
        seed: int,
    ) -> None:
        check_phases(phases)
        packed = [NextTokenPacking(source, length, bos_id=bos_id, eos_id=eos_id) for source in sources]
        for number, packing in enumerate(packed):
            if not len(packing):
                raise InputError(
                    f"corpus {number + 1} without a token to learn from", "some text", "leave it out"
                )
        for phase in phases:
            if phase.weights and len(phase.weights) != len(sources):
                raise InputError(
                    f"{len(phase.weights)} weights for {len(sources)} corpora",
                    f"{len(sources)} weights, or none",
                    "change the weights of the phases",
                )
        self.length = length
        self.steps = steps
        seeds = random_words(seed, np.arange(len(packed)), 1)[:, 0] >> np.uint64(1)
        self._sources = [_Shuffled(one, int(own)) for one, own in zip(packed, seeds, strict=True)]
        self._orders = [_Order(phase.weights or [len(packing) for packing in packed]) for phase in phases]
        borders = np.cumsum([phase.share for phase in phases])[:-1] * steps
        self._first_steps = np.array([1, *(1 + round(float(border)) for border in borders)])

    def rows(self, step: int, part: slice, of: int) -> TokenRows:
        """Some of the rows of a step; see `RowSource`."""
        phase = int((self._first_steps <= step).sum()) - 1
        number = (step - int(self._first_steps[phase])) * of + np.arange(of)[part]
        source, item = self._orders[phase].at(number)
        item = item + self._taken(phase, of)[source]
        shape = (len(number), self.length)
        inputs, documents = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        for one in np.unique(source):
            here = source == one
            found = self._sources[one].rows(item[here])
            inputs[here], labels[here], documents[here] = found.inputs, found.labels, found.documents
        return TokenRows(inputs=inputs, labels=labels, documents=documents)

    def epochs(self, of: int) -> list[float]:
        """How often each corpus [N] is gone through in the whole training, with `of` rows a step."""
        last = len(self._orders) - 1
        rest = max(0, self.steps + 1 - int(self._first_steps[last])) * of
        rows = self._taken(last, of) + self._orders[last].taken(rest)
        return [float(count / len(source.packing)) for count, source in zip(rows, self._sources, strict=True)]

    def _taken(self, phase: int, of: int) -> NDArray[np.int64]:
        """Rows of each corpus [N] that all phases before this one have shown."""
        rows = np.zeros(len(self._sources), dtype=np.int64)
        for order, steps in zip(self._orders[:phase], np.diff(self._first_steps), strict=False):
            rows += order.taken(int(steps) * of)
        return rows


class _Shuffled:
    """The rows of one corpus, every epoch in an order of its own."""

    def __init__(self, packing: NextTokenPacking, seed: int) -> None:
        self.packing, self._seed = packing, seed
        self._kept: dict[int, NDArray[np.int64]] = {}

    def rows(self, items: NDArray[np.int64]) -> TokenRows:
        """Items [K] of the endless series of epochs."""
        epochs, places = np.divmod(items, len(self.packing))
        wanted = np.unique(epochs).tolist()
        self._kept = {
            epoch: self._kept[epoch] if epoch in self._kept else self._order(epoch) for epoch in wanted
        }
        chosen = np.empty_like(places)
        for epoch in wanted:
            here = epochs == epoch
            chosen[here] = self._kept[epoch][places[here]]
        return self.packing.rows(chosen)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        size = len(self.packing)
        return example_of_item(self._seed, np.arange(epoch * size, (epoch + 1) * size), size)


class _Order:
    """Which corpus each row of a phase comes from: a fixed order over `_PERIOD` rows, each corpus evenly spread."""

    def __init__(self, weights: Sequence[float]) -> None:
        exact = np.asarray(weights, dtype=np.float64) / sum(weights) * _PERIOD
        counts = np.maximum(np.floor(exact).astype(np.int64), exact > 0)
        while (missing := _PERIOD - int(counts.sum())) != 0:
            # The one that is furthest below its share gets one more, or furthest above it one less.
            best = int(np.argmax((exact - counts) * np.sign(missing)))
            counts[best] += np.sign(missing)
        number = np.concatenate([np.arange(count) for count in counts])
        source = np.repeat(np.arange(len(counts)), counts)
        order = np.argsort((number + 0.5) / counts[source], kind="stable")
        self._counts, self._source, self._number = counts, source[order], number[order]

    def at(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The corpus of each row [K] of the phase, and how many rows of the phase that corpus gave before."""
        periods, places = np.divmod(rows, _PERIOD)
        source = self._source[places]
        return source, periods * self._counts[source] + self._number[places]

    def taken(self, rows: int) -> NDArray[np.int64]:
        """How many of the first `rows` rows come from each corpus [N]."""
        periods, rest = divmod(rows, _PERIOD)
        return periods * self._counts + np.bincount(self._source[:rest], minlength=len(self._counts))
