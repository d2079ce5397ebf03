"""How this process keeps memory between the steps of a loop."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks for the next allocation instead of returning them to the system.

    A recursive model on a CPU allocates the same megabytes again and again. By default each of these blocks is mapped
    anew, and the first touch of every page costs more than the arithmetic on it. With other C libraries: no effect.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
