"""Which tokens of a row are hidden, and what is put in their place (Devlin et al. 2019, arXiv 1810.04805, section 3.1).

What happens to item *i* depends on `(seed, i)` only, so a row looks different each time it comes, and the same after a
resume.

Shapes: K rows, L positions of a row, P places to be predicted in a row, V tokens of the vocabulary, W words of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinkling.data.puzzle_set import IGNORED
from thinkling.data.sampling import uniforms
from thinkling.data.tokenizer import SPECIALS, TextTokenizer
from thinkling.errors import InputError

NO_POSITION = -1
"""In `positions`, behind the last place of a row that has fewer than P."""

_FRAME = 2  # <CLS> and <SEP>


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How many tokens are to be predicted, and what stands in their places."""

    rate: float = 0.3
    """Share of a row's tokens to be predicted; 0.3 as ModernBERT, 0.15 as BERT."""
    whole_words: bool = False
    """Whether all tokens of a word are chosen, or none."""
    mask_share: float = 0.8
    """Share of the chosen tokens that become <MASK>."""
    random_share: float = 0.1
    """Share of the chosen tokens that become another token at random; what remains stays as it is."""

    def __post_init__(self) -> None:
        """Refuses values that cannot work.

        Raises:
            InputError: naming the first field out of its range.
        """
        self._must(0 < self.rate < 1, "rate", "more than 0 and less than 1")
        for name in ("mask_share", "random_share"):
            self._must(0 <= getattr(self, name) <= 1, name, "0 to 1")
        # A little more than 1, for 0.9 + 0.1 need not be 1 in binary.
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise InputError(
                f"mask_share {self.mask_share} and random_share {self.random_share}",
                "together at most 1",
                "lower one of them",
            )

    def _must(self, fine: bool, name: str, allowed: str) -> None:
        if not fine:
            raise InputError(f"{name} {getattr(self, name)}", allowed, f"give another {name}")


def most_positions(length: int, rate: float) -> int:
    """P: how many places a row of this length can have at most."""
    return int(_wanted(np.array([max(1, length - _FRAME)]), rate)[0])


def _wanted(maskable: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """How many of so many tokens are to be chosen; [K] -> [K]."""
    share = np.rint(rate * maskable).astype(np.int64)
    wanted: NDArray[np.int64] = np.minimum(np.maximum(1, share), maskable)
    return wanted


def mask_tokens(
    tokens: NDArray[np.int64],
    documents: NDArray[np.int64],
    items: NDArray[np.int64],
    seed: int,
    config: MaskingConfig,
    tokenizer: TextTokenizer,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Hide tokens of rows.

    Of a row with M ordinary tokens, max(1, round(rate * M)) are chosen, uniformly among all such choices. With whole
    words the count is met on average only: words are taken in random order as long as they come closer to it. A word
    of more than P tokens is never taken.

    Args:
        tokens: [K, L] rows, as `Packing.rows` gives them.
        documents: [K, L] 0 at padding.
        items: [K] the number of each row in the run; it decides, with the seed, what happens to the row.
        seed: of the run.
        config: how many, and what is put in their place.
        tokenizer: whose tokens these are.

    Returns:
        Inputs [K, L]; positions [K, P], the chosen places ascending, -1 where a row has fewer; labels [K, P], the
        true tokens, -100 where positions is -1.
    """
    count, length = tokens.shape
    most = most_positions(length, config.rate)
    draws = uniforms(seed, items, length + 2 * most)
    maskable = (documents > 0) & (tokens >= len(SPECIALS))
    wanted = _wanted(maskable.sum(1), config.rate)
    keys = draws[:, :length]
    if config.whole_words:
        chosen = _choose_words(keys, maskable, _new_words(tokens, documents, tokenizer), wanted, most)
    else:
        chosen = _choose_tokens(keys, maskable, wanted, most)
    row, column = np.nonzero(chosen)
    per_row = chosen.sum(1)
    place = np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    positions = np.full((count, most), NO_POSITION, dtype=np.int64)
    labels = np.full((count, most), IGNORED, dtype=np.int64)
    positions[row, place] = column
    labels[row, place] = tokens[row, column]
    fate = draws[row, length + place]
    ordinary = tokenizer.vocab_size - len(SPECIALS)
    other = len(SPECIALS) + (draws[row, length + most + place] * ordinary).astype(np.int64)
    changed = np.where(fate < config.mask_share + config.random_share, other, tokens[row, column])
    inputs = tokens.astype(np.int64)
    inputs[row, column] = np.where(fate < config.mask_share, tokenizer.mask_id, changed)
    return inputs, positions, labels


def _choose_tokens(
    keys: NDArray[np.float64], maskable: NDArray[np.bool_], wanted: NDArray[np.int64], most: int
) -> NDArray[np.bool_]:
    """The tokens of each row with the lowest keys. [K, L], [K, L], [K] -> [K, L]."""
    keys = np.where(maskable, keys, 2.0)
    lowest = np.argsort(keys, axis=1, kind="stable")[:, :most]
    chosen = np.zeros(maskable.shape, dtype=np.bool_)
    np.put_along_axis(chosen, lowest, np.arange(lowest.shape[1]) < wanted[:, None], axis=1)
    return chosen


def _new_words(
    tokens: NDArray[np.int64], documents: NDArray[np.int64], tokenizer: TextTokenizer
) -> NDArray[np.bool_]:
    """Whether a token is not of the same word as the one before it. [K, L] -> [K, L]."""
    new = tokenizer.word_starts[tokens]
    new[:, 0] = True
    new[:, 1:] |= tokenizer.word_ends[tokens[:, :-1]] | (documents[:, 1:] != documents[:, :-1])
    return new


def _choose_words(
    keys: NDArray[np.float64],
    maskable: NDArray[np.bool_],
    new: NDArray[np.bool_],
    wanted: NDArray[np.int64],
    most: int,
) -> NDArray[np.bool_]:
    """The tokens of the words of each row with the lowest keys. [K, L], [K, L], [K, L], [K] -> [K, L].

    A word is taken while the sum of tokens comes nearer to `wanted` by it, so that the sum is right on average.
    """
    count, length = maskable.shape
    word = np.cumsum(new, axis=1) - 1
    cells = (np.arange(count)[:, None] * length + word)[maskable]
    sizes = np.bincount(cells, minlength=count * length).reshape(count, length)
    word_keys = np.full(count * length, 2.0)
    row, column = np.nonzero(new)
    word_keys[row * length + word[row, column]] = keys[row, column]
    usable = (sizes > 0) & (sizes <= most)
    order = np.argsort(np.where(usable, word_keys.reshape(count, length), 2.0), axis=1, kind="stable")
    ordered = np.where(np.take_along_axis(usable, order, axis=1), np.take_along_axis(sizes, order, axis=1), 0)
    total = np.cumsum(ordered, axis=1)
    taken = (ordered > 0) & (total <= most) & (2 * total - ordered <= 2 * wanted[:, None])
    taken[:, 0] = ordered[:, 0] > 0
    chosen = np.zeros((count, length), dtype=np.bool_)
    np.put_along_axis(chosen, order, taken, axis=1)
    chosen_words: NDArray[np.bool_] = np.take_along_axis(chosen, word, axis=1) & maskable
    return chosen_words
