"""Copies between the host and a device that the host does not wait for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. The host waits neither for the copy nor for the work before it.

    For CUDA that takes pinned memory: a copy from ordinary memory waits for all the work that the device still has.
    """
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def arriving(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to copy a tensor to the host.

    Returns:
        a call that waits for the copy and for the work before it, not for what came after, and returns the tensor on
        the CPU. On other accelerators than CUDA it waits for everything.
    """
    if tensor.device.type != "cuda":
        return tensor.cpu
    copy = tensor.to("cpu", non_blocking=True)  # into pinned memory
    made = torch.cuda.current_stream(tensor.device).record_event()

    def arrived() -> Tensor:
        made.synchronize()
        return copy

    return arrived
