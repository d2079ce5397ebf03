"""Keys and values of what has been read so far, for many sequences of different lengths at once.

Shapes: R rows (sequences), K key and value heads, C capacity in positions, E head size, S new positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LENGTHS_APART = 32
"""What attention for a single new position looks at is a multiple of this."""


class KVCache:
    """For each layer keys and values; what lies at or behind a row's length is garbage.

    Values lie as [R, K, C, E]. On a CPU keys lie as [R, K, E, C], which halves the time of their product with a query.

    Attributes:
        lengths: [R] positions of each row that are filled.
    """

    def __init__(
        self,
        *,
        layers: int,
        rows: int,
        kv_heads: int,
        head_dim: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (rows, kv_heads, capacity, head_dim)
        self._keys_turned = torch.device(device).type == "cpu"
        turned = (rows, kv_heads, head_dim, capacity) if self._keys_turned else shape
        self._keys = [torch.zeros(turned, dtype=dtype, device=device) for _ in range(layers)]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.kv_heads = kv_heads
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.capacity = capacity

    @property
    def rows(self) -> int:
        """R."""
        return len(self.lengths)

    @property
    def bytes(self) -> int:
        """Memory of all keys and values."""
        return sum(tensor.nbytes for tensor in (*self._keys, *self._values))

    def keys(self, layer: int) -> Tensor:
        """The keys of a layer, seen as [R, K, C, E]; writing to them writes to the cache."""
        return self._keys[layer].mT if self._keys_turned else self._keys[layer]

    def values(self, layer: int) -> Tensor:
        """The values of a layer [R, K, C, E]."""
        return self._values[layer]

    def grow(self, rows: int, capacity: int) -> None:
        """Make room for more sequences, or for longer ones; what is kept stays."""
        old_rows, old_capacity = self.rows, self.capacity
        for tensors, turned in ((self._keys, self._keys_turned), (self._values, False)):
            for layer, old in enumerate(tensors):
                _, heads, *last = old.shape
                last[1 if turned else 0] = capacity
                tensors[layer] = old.new_zeros(rows, heads, *last)
                begin = tensors[layer][:old_rows]
                (begin[..., :old_capacity] if turned else begin[:, :, :old_capacity]).copy_(old)
        self.lengths = torch.cat((self.lengths, self.lengths.new_zeros(rows - old_rows)))
        self.capacity = capacity

    def copy(self, source: int, target: int) -> None:
        """Let row `target` hold what row `source` holds."""
        length = int(self.lengths[source])
        for layer in range(len(self._values)):
            for tensor in (self.keys(layer), self.values(layer)):
                tensor[target, :, :length] = tensor[source, :, :length]
        self.lengths[target] = length


class CacheView:
    """Some rows of a cache while they read S more positions; made once for all layers.

    The new positions of row `rows[r]` are `lengths[rows[r]]` and the following ones. The lengths grow only by
    `advance`, so that padding behind a prompt is forgotten.
    """

    def __init__(self, cache: KVCache, rows: Tensor | slice | None, new: int) -> None:
        """Over all rows in their order, or over `rows` [r].

        Args:
            cache: where keys and values are kept.
            rows: [r] numbers of rows, or a slice of them, for which nothing is copied; None for all.
            new: S.
        """
        self.cache, self._rows = cache, rows
        lengths = cache.lengths if rows is None else cache.lengths[rows]
        device = lengths.device
        self.positions = lengths[:, None] + torch.arange(new, device=device)
        """[r, S] places of the new positions."""
        self.seen = int(self.positions.max()) + 1
        """How far attention looks."""
        assert self.seen <= cache.capacity, "the caller keeps sequences inside the capacity"
        if new == 1:
            # Token by token the length would be another one at each step, and oneDNN makes a kernel for each length.
            self.seen = min(-(-self.seen // _LENGTHS_APART) * _LENGTHS_APART, cache.capacity)
        heads = cache.kv_heads
        number = rows if isinstance(rows, Tensor) else torch.arange(cache.rows, device=device)
        if isinstance(rows, slice):
            number = number[rows]
        # Rows and heads together are one dimension, for the write and for the products.
        self._flat = (number[:, None] * heads + torch.arange(heads, device=device)).flatten()
        self._where = self.positions.repeat_interleave(heads, 0)

    def allowed(self) -> Tensor:
        """What each new position may look at: everything up to itself. [r, S, seen] bool."""
        return torch.arange(self.seen, device=self.positions.device) <= self.positions[:, :, None]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep new keys and values [r, K, S, E] of a layer; all of the rows' ones so far, each [r, K, seen, E]."""
        joined = []
        for kept, new in ((self.cache.keys(layer), key), (self.cache.values(layer), value)):
            flat = kept.flatten(0, 1)
            flat[self._flat[:, None], self._where] = new.flatten(0, 1)
            if isinstance(self._rows, Tensor):
                chosen = flat[:, : self.seen][self._flat].reshape(-1, kept.shape[1], self.seen, kept.shape[3])
            else:
                chosen = kept[self._rows or slice(None), :, : self.seen]
            joined.append(chosen)
        return joined[0], joined[1]

    def whole(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer up to the capacity, each [r, K, C, E], to be written to."""
        assert not isinstance(self._rows, Tensor), "rows by number would be a copy"
        rows = self._rows or slice(None)
        return self.cache.keys(layer)[rows], self.cache.values(layer)[rows]

    def advance(self, counts: Tensor | int) -> None:
        """So many of the new positions of each row [r], or of all, are real."""
        if self._rows is None:
            self.cache.lengths += counts
        else:
            self.cache.lengths[self._rows] += counts
