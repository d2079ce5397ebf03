"""The reserve: the same examples in the same slots at the same steps as a refill that reads who has halted."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from thinkling.data.batch import PuzzleBatch
from thinkling.thinking.carry import fresh_carry
from thinkling.thinking.reserve import Reserve
from thinkling.thinking.slots import Slots

SLOTS = 6


class Source:
    """Examples that say for whom they are and which, and how many have been asked for."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, slots: Tensor, refills: Tensor) -> PuzzleBatch:
        self.taken += len(slots)
        tokens = torch.stack([slots, refills], dim=1)
        return PuzzleBatch(inputs=tokens, labels=tokens + 100, puzzle_ids=slots * 1000 + refills)


def fresh() -> Slots[PuzzleBatch]:
    nothing = torch.zeros(SLOTS, 2, dtype=torch.int64)
    return Slots(
        carry=fresh_carry(SLOTS, 1, 1, dtype=torch.float32, device=torch.device("cpu")),
        batch=PuzzleBatch(inputs=nothing, labels=nothing, puzzle_ids=nothing[:, 0]),
        refills=nothing[:, 0],
    )


def halting(state: Slots[PuzzleBatch], halted: Tensor) -> Slots[PuzzleBatch]:
    return Slots(carry=state.carry.with_halted(halted), batch=state.batch, refills=state.refills)


def same(one: Slots[PuzzleBatch], other: Slots[PuzzleBatch]) -> bool:
    assert one.batch.labels is not None
    assert other.batch.labels is not None
    return (
        torch.equal(one.refills, other.refills)
        and torch.equal(one.batch.inputs, other.batch.inputs)
        and torch.equal(one.batch.labels, other.batch.labels)
        and torch.equal(one.batch.puzzle_ids, other.batch.puzzle_ids)
    )


def test_the_same_examples_as_a_refill_that_reads() -> None:
    """Whoever halts, one slot, none or all; and no example is drawn twice."""
    draw, source = np.random.default_rng(0), Source()
    reserve = Reserve(source.take)
    plain = kept = fresh()
    for step in range(40):
        plain, kept = plain.refill(Source().take), reserve.refill(kept)
        assert same(plain, kept)
        if step % 3:
            reserve.top_up()  # where it is left out, the next refill does it
        halted = torch.from_numpy(draw.random(SLOTS) < (0.0, 0.2, 1.0)[step % 3])
        plain, kept = halting(plain, halted), halting(kept, halted)
    reserve.top_up()
    assert source.taken == int(kept.refills.sum()) + SLOTS


def test_a_state_it_has_not_filled_begins_anew() -> None:
    """An earlier state once more, as before the first step of a compiled training, and one from a checkpoint."""
    reserve = Reserve(Source().take)
    first = reserve.refill(fresh())
    for state in (halting(first, torch.arange(SLOTS) < 2), fresh(), halting(first, torch.arange(SLOTS) > 2)):
        for _ in range(2):
            assert same(reserve.refill(state), state.refill(Source().take))
            reserve.top_up()
    saved = Slots(carry=first.carry, batch=first.batch, refills=torch.arange(SLOTS))
    assert same(reserve.refill(saved), saved.refill(Source().take))
