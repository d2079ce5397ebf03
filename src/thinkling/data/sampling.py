"""Which example comes when: seeded, shardable, resumable without any saved random state.

Item `i` of a run depends on `(seed, i)` only. Random numbers come from a counter-based generator (SplitMix64, Steele
et al. 2014, applied to a counter), so any item can be drawn at any time, on any rank, in any order.

Shapes: N items, K numbers an item.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


def random_words(seed: int, items: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """64 random bits K times for each item: [N, K], a function of (seed, item) only."""
    with np.errstate(over="ignore"):
        base = _mix(np.asarray([seed], dtype=np.int64).astype(np.uint64) + _GOLDEN)
        keys = _mix(base + np.asarray(items, dtype=np.int64).astype(np.uint64) * _GOLDEN)
        counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        return _mix(keys[:, None] + counters[None, :])


def uniforms(seed: int, items: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each item: [N, K], a function of (seed, item) only."""
    return (random_words(seed, items, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)
    order.setflags(write=False)
    return order


def example_of_item(seed: int, items: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Which of `size` examples each item shows: every epoch is its own permutation. [N] -> [N]."""
    epochs, places = np.divmod(np.asarray(items, dtype=np.int64), size)
    chosen = np.empty_like(places)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        chosen[here] = _epoch_order(seed, int(epoch), size)[places[here]]
    return chosen
