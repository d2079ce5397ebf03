"""One round over many short texts without computing their padding: several texts share a row for the while.

The network keeps pieces of a row apart (attention and high-level groups stay inside a piece, and rotary positions count
as differences only), so a text's state is the same alone and beside others.

Shapes: B batch (slots), L positions of a slot's row, T tokens of all texts, R packed rows of M positions, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.data.batch import TextBatch
from thinkling.thinking.carry import Carry
from thinkling.thinking_bert.model import ThinkingBert

_ROW = 128


def packed_round(body: ThinkingBert, carry: Carry, batch: TextBatch) -> tuple[Tensor, Tensor]:
    """`body.round` for rows of one text each: (z_H, z_L), each [B, L, D], with gradient; 0 at padding.

    Args:
        body: the network.
        carry: z_H, z_L [B, L, D]; halted slots start anew.
        batch: inputs [B, L] and documents [B, L], which are 1 up to the end of the text and 0 behind it.
    """
    slots, length = batch.inputs.shape
    real = batch.documents > 0
    if bool(real.all()):
        return body.round(carry, batch)
    row, offset, rows, width = packed_places(real.sum(1).cpu().numpy())
    device = real.device
    start = torch.from_numpy(row * width + offset).to(device)
    # Where each of the T tokens is, counted through the slots' rows and through the packed ones.
    there = (start[:, None] + torch.arange(length, device=device))[real]
    here = real.flatten().nonzero().squeeze(-1)
    number = torch.arange(1, slots + 1, device=device)[:, None].expand(slots, length)
    going_on = (~carry.halted).to(carry.z_H.dtype)[:, None, None]

    def packed(values: Tensor) -> Tensor:
        flat = values.new_zeros((rows * width, *values.shape[2:]))
        flat = flat.index_copy(0, there, values.flatten(0, 1)[here])
        return flat.view(rows, width, *values.shape[2:])

    def unpacked(values: Tensor) -> Tensor:
        flat = values.new_zeros((slots * length, values.shape[-1]))
        return flat.index_copy(0, here, values.flatten(0, 1)[there]).view(slots, length, -1)

    nothing = torch.zeros(rows, 1, dtype=torch.int64, device=device)
    z_H, z_L = body.round(
        Carry(
            z_H=packed(carry.z_H * going_on),
            z_L=packed(carry.z_L * going_on),
            steps=nothing[:, 0],
            halted=torch.zeros(rows, dtype=torch.bool, device=device),
        ),
        TextBatch(inputs=packed(batch.inputs), documents=packed(number), positions=nothing, labels=nothing),
    )
    return unpacked(z_H), unpacked(z_L)


def packed_places(
    lengths: NDArray[np.int64], row_length: int = _ROW
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Where each text goes, the longest first, each into the first row that has room.

    Args:
        lengths: [B] tokens of each text.
        row_length: what a row should hold; more where a text is longer, less where all together are shorter.

    Returns:
        the row of each text [B], its first position there [B], the number of rows, and their length.
    """
    width = int(max(lengths.max(), min(row_length, lengths.sum())))
    row, offset = np.zeros_like(lengths), np.zeros_like(lengths)
    used: list[int] = []
    for text in np.argsort(-lengths, kind="stable").tolist():
        size = int(lengths[text])
        place = next((number for number, taken in enumerate(used) if taken + size <= width), len(used))
        if place == len(used):
            used.append(0)
        row[text], offset[text] = place, used[place]
        used[place] += size
    return row, offset, len(used), width
