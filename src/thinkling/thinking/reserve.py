"""The next example of every slot, lying ready where the slots are: a refill that reads nothing on the host.

Which slots have halted is known on the device first, and examples are drawn on the host. So every slot's next example
lies on the device before anybody knows when it will be taken: the device chooses by its own mask, and the host, told
afterwards, draws what comes next while the device is busy with the segment.

Shapes: B slots, K of them that took their example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

import torch
from torch import Tensor

from thinkling.data.transfer import arriving, sent
from thinkling.thinking.slots import B, Slots


class Reserve(Generic[B]):
    """Examples for the slots of a training run, one ahead for each.

    `refill` gives what `Slots.refill` gives. The reserve follows one line of states: where it is given one that it has
    not filled itself (the first of a run or of its continuation, or an earlier one once more) it begins anew, and that
    once the host waits.

    Args:
        take: (slots [K], how many examples each has had [K]), both on the CPU -> their next examples, a batch of K
            where the slots are; a function of its arguments only.
    """

    def __init__(self, take: Callable[[Tensor, Tensor], B]) -> None:
        self._take = take
        self._ready: B
        self._had: Tensor
        """[B] on the CPU: how many examples each slot has had before the one that lies ready."""
        self._refills: Tensor | None = None
        """The counters of the state filled last, by which its successor is known."""
        self._arriving: Callable[[], Tensor] | None = None
        """The same on their way to the host, until it has heard of them."""

    def refill(self, slots: Slots[B]) -> Slots[B]:
        """Give every halted slot its next example; the others keep theirs."""
        if slots.refills is self._refills:
            self.top_up()
        else:
            self._had = arriving(slots.refills)()
            self._ready = self._take(torch.arange(len(self._had)), self._had)
        filled = slots.refill_from(self._ready)
        self._refills, self._arriving = filled.refills, arriving(filled.refills)
        return filled

    def top_up(self) -> None:
        """Replace the examples that the last refill has taken; to be called when the device has work to do.

        Waits until that refill has been done, not for what was queued behind it.
        """
        if self._arriving is None:
            return
        had, self._arriving = self._arriving(), None
        taken = (had != self._had).nonzero().squeeze(-1)
        if taken.numel():
            offered = self._take(taken, had[taken])
            self._ready = self._ready.put(sent(taken, offered.inputs.device), offered)
        self._had = had
