"""Sign-SGD for sparse embeddings: only looked-up rows move, by the sign of their summed gradient (HRM).

    w <- w * (1 - lr * weight_decay) - lr * sign(sum of the gradients of all lookups of that row)

Every rank gathers the lookups of all ranks and makes the same update, so the tables stay equal without being
sent.

Shapes: B lookups, E embedding width, I rows of the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn


@runtime_checkable
class SparseTable(Protocol):
    """What sign-SGD needs of a module; `nn.sparse_embedding.SparseEmbedding` is one."""

    weights: Tensor
    """[I, E], not a parameter."""
    lookups: list[tuple[Tensor, Tensor]]
    """(ids [B], rows [B, E] whose `.grad` is filled by backward) of every lookup since `clear`."""

    def clear(self) -> None:
        """Forget the lookups."""
        ...


class SignSGD:
    """Updates sparse tables; not a torch optimiser, since it has no state and its tables are no parameters.

    Args:
        tables: the tables to update.
        lr: learning rate, to be set anew before every step by whoever follows a schedule.
        weight_decay: decay of the rows that were looked up, multiplied by `lr`.
    """

    def __init__(self, tables: Iterable[SparseTable], lr: float = 1e-2, weight_decay: float = 0.1) -> None:
        self.tables = list(tables)
        self.lr = lr
        self.weight_decay = weight_decay

    @classmethod
    def of(cls, model: nn.Module, lr: float = 1e-2, weight_decay: float = 0.1) -> SignSGD:
        """For every sparse table inside `model`."""
        return cls((m for m in model.modules() if isinstance(m, SparseTable)), lr, weight_decay)

    def gradients(self) -> list[Tensor]:
        """The local gradients that the next step would use, for a check that they are finite."""
        return [rows.grad for table in self.tables for _, rows in table.lookups if rows.grad is not None]

    def clear(self) -> None:
        """Drop all lookups without an update."""
        for table in self.tables:
            table.clear()

    @torch.no_grad()
    def step(self) -> None:
        """Update every looked-up row once and clear the lookups. Collective: every rank calls it."""
        for table in self.tables:
            if table.lookups:
                ids, grads = _gathered(table.lookups)
                update_rows(table.weights, ids, grads, self.lr, self.weight_decay)
            table.clear()


def update_rows(weights: Tensor, ids: Tensor, grads: Tensor, lr: float, weight_decay: float) -> None:
    """The rule above, in place. weights [I, E], ids [B] (repeats are added up), grads [B, E]."""
    ids = ids.long()
    # Lookups of the same row share a place. `torch.unique` would number them too, but wait until it can say how many.
    place = torch.searchsorted(ids.sort().values, ids)
    total = torch.zeros(len(ids), weights.shape[1], dtype=grads.dtype, device=weights.device)
    # The order of the additions must be the same on every rank, or a sign near zero could differ: index_add_
    # is sequential on a CPU, but on a GPU only the sorting index_put_ is.
    if weights.device.type == "cpu":
        total.index_add_(0, place, grads)
    else:
        total.index_put_((place,), grads, accumulate=True)
    weights[ids] = weights[ids] * (1 - lr * weight_decay) - lr * total[place].sign()  # repeats write the same


def _gathered(lookups: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """All ids and gradients of all ranks, in rank order."""
    ids = torch.cat([ids.long() for ids, _ in lookups])
    grads = torch.cat([torch.zeros_like(rows) if rows.grad is None else rows.grad for _, rows in lookups])
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return ids, grads
    world = dist.get_world_size()
    all_ids = [torch.empty_like(ids) for _ in range(world)]
    all_grads = [torch.empty_like(grads) for _ in range(world)]
    dist.all_gather(all_ids, ids.contiguous())
    dist.all_gather(all_grads, grads.contiguous())
    return torch.cat(all_ids), torch.cat(all_grads)
