"""The yardstick of a masked-language model: guessing a token from its two neighbours, by counting.

Nothing is learnt but how often tokens stand beside each other in the training documents. A model that does not beat it
has not learnt to use more than the neighbours.

Shapes: N tokens of the corpus, K rows, L positions of a row, P places to be predicted, V tokens of the vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkling.data.text_store import TokenDocuments
from thinkling.data.tokenizer import SPECIALS
from thinkling.errors import InputError

_CLS, _SEP, _MASK = (SPECIALS.index(name) for name in ("<CLS>", "<SEP>", "<MASK>"))
_NOT_COUNTED = tuple(SPECIALS.index(name) for name in ("<PAD>", "<UNK>", "<MASK>"))


class CountBaseline:
    """Guesses a token from the token before and the token after it.

    In this order, the first that knows an answer gives it:

    1. Both neighbours are known and have been seen in training with a token between them: the most frequent such
       token (of equally frequent ones the one that is more frequent everywhere).
    2. Both are known: the token m with the greatest P(m | left) * P(m | right) / P(m), which is proportional to
       count(left, m) * count(m, right) / count(m), among those seen after the left and before the right one. It is
       what Bayes' rule gives where the neighbours do not depend on each other once m is known. No smoothing.
    3. The better of the most frequent token after the left neighbour and the most frequent one before the right
       neighbour, by its share; or the one of them that there is.
    4. The most frequent token of the training documents.

    A neighbour that is masked is unknown; that it was exchanged for a random token is not noticed. The place itself is
    not looked at, so where masking left the true token in place, that is not used. `<CLS>` and `<SEP>` count as
    neighbours: a document begins after one and ends before the other.
    """

    def __init__(self) -> None:
        self._vocab_size = 0

    def fit(self, documents: TokenDocuments, vocab_size: int) -> CountBaseline:
        """Count. Takes about 60 bytes of memory for each token of the corpus while it works.

        Args:
            documents: the training documents.
            vocab_size: V.

        Returns:
            Itself.

        Raises:
            InputError: documents without a token.
        """
        if not len(documents.tokens):
            raise InputError("documents without tokens", "at least one token", "import a larger corpus")
        self._vocab_size = vocab_size
        line = _framed(documents)
        counts = np.bincount(line, minlength=vocab_size).astype(np.int64)
        # <CLS> and <SEP> are no answers.
        counts[: len(SPECIALS)] = 0
        self._counts = counts
        self._most_frequent = int(counts.argmax())
        pairs = line[:-1] * vocab_size + line[1:]
        # A <SEP> and the <CLS> behind it are of two documents.
        pairs, pair_counts = np.unique(pairs[line[:-1] != _SEP], return_counts=True)
        self._after, self._after_counts = pairs % vocab_size, pair_counts
        """The tokens seen after each token, grouped by it, and how often."""
        self._after_begins = np.searchsorted(pairs, np.arange(vocab_size + 1) * vocab_size)
        by_second = np.argsort(pairs % vocab_size, kind="stable")
        self._before, self._before_counts = pairs[by_second] // vocab_size, pair_counts[by_second]
        """The tokens seen before each token, grouped by it, and how often."""
        self._before_begins = np.searchsorted(pairs[by_second] % vocab_size, np.arange(vocab_size + 1))
        self._contexts, self._middles = self._count_middles(line)
        self._memory: dict[tuple[int, int], int] = {}
        return self

    def _count_middles(self, line: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs (left, right) seen in training, as left * V + right ascending, and the best token between each."""
        size = self._vocab_size
        inside = line[1:-1] >= len(SPECIALS)
        triples = ((line[:-2] * size + line[2:]) * size + line[1:-1])[inside]
        triples, often = np.unique(triples, return_counts=True)
        contexts, middles = np.divmod(triples, size)
        # Within a context the last one in this order is the best.
        order = np.lexsort((self._counts[middles], often, contexts))
        last = np.flatnonzero(np.diff(contexts, append=-1))
        return contexts[last], middles[order[last]]

    def predict(
        self, inputs: NDArray[np.int64], documents: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The best token for each place.

        Args:
            inputs: [K, L] rows with masks.
            documents: [K, L] the number of the piece in its row; a neighbour of another piece is unknown.
            positions: [K, P] the places, -1 where a row has fewer.

        Returns:
            [K, P] tokens, -1 where positions is -1.
        """
        if not self._vocab_size:
            raise RuntimeError("fit comes first")
        row, place = np.nonzero(positions >= 0)
        column = positions[row, place]
        left, right = (_neighbour(inputs, documents, row, column, step) for step in (-1, 1))
        guesses = np.full(len(row), -1, dtype=np.int64)
        wanted = left * self._vocab_size + right
        found = np.minimum(np.searchsorted(self._contexts, wanted), len(self._contexts) - 1)
        seen = (left >= 0) & (right >= 0) & (self._contexts[found] == wanted)
        guesses[seen] = self._middles[found[seen]]
        for rest in np.flatnonzero(~seen).tolist():
            guesses[rest] = self._without_context(int(left[rest]), int(right[rest]))
        predicted = np.full(positions.shape, -1, dtype=np.int64)
        predicted[row, place] = guesses
        return predicted

    def _without_context(self, left: int, right: int) -> int:
        """The guess for two neighbours that were not seen together; -1 stands for an unknown one."""
        known = self._memory.get((left, right))
        if known is None:
            known = self._memory[left, right] = self._from_pairs(left, right)
        return known

    def _from_pairs(self, left: int, right: int) -> int:
        after, after_counts = _group(left, self._after_begins, self._after, self._after_counts)
        before, before_counts = _group(right, self._before_begins, self._before, self._before_counts)
        both, in_after, in_before = np.intersect1d(after, before, assume_unique=True, return_indices=True)
        if len(both):
            product = after_counts[in_after] * before_counts[in_before] / self._counts[both]
            return int(both[product.argmax()])
        single = [
            (float(counts.max() / counts.sum()), int(tokens[counts.argmax()]))
            for tokens, counts in ((after, after_counts), (before, before_counts))
            if len(tokens)
        ]
        return max(single)[1] if single else self._most_frequent


def _framed(documents: TokenDocuments) -> NDArray[np.int64]:
    """All documents one behind the other, each as `<CLS> tokens <SEP>`: [N + 2 D]."""
    starts = np.asarray(documents.starts)
    number = np.repeat(np.arange(len(documents)), np.diff(starts))
    line = np.empty(len(number) + 2 * len(documents), dtype=np.int64)
    line[np.arange(len(number)) + 2 * number + 1] = documents.tokens
    line[starts[:-1] + 2 * np.arange(len(documents))] = _CLS
    line[starts[1:] + 2 * np.arange(len(documents)) + 1] = _SEP
    return line


def _neighbour(
    inputs: NDArray[np.int64],
    documents: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    step: int,
) -> NDArray[np.int64]:
    """The token `step` places on, -1 where it is unknown."""
    beside = column + step
    inside = np.clip(beside, 0, inputs.shape[1] - 1)
    token = inputs[row, inside]
    known = (inside == beside) & (documents[row, inside] == documents[row, column])
    known &= ~np.isin(token, _NOT_COUNTED)
    return np.where(known, token, -1)


def _group(
    token: int, begins: NDArray[np.int64], tokens: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ordinary tokens seen beside a token, ascending, and how often; none for -1."""
    if token < 0:
        return tokens[:0], counts[:0]
    part = slice(int(begins[token]), int(begins[token + 1]))
    first = part.start + int(np.searchsorted(tokens[part], len(SPECIALS)))
    return tokens[first : part.stop], counts[first : part.stop]
