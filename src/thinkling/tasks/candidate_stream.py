"""What generators make in chunks, on one process or several: the same things in the same order."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def stream_chunks(make: Callable[[int, int], T], chunk: int, processes: int) -> Generator[T, None, None]:
    """`make(0, chunk)`, `make(chunk, chunk)`, … in order and without end, made on several processes.

    Close the iterator (or leave it to the garbage collector) to stop the processes.

    Args:
        make: (first candidate, how many) -> what came of them; can be pickled, and draws from the numbers of its
            candidates only.
        chunk: candidates made at once.
        processes: how many processes; the result does not depend on it.
    """
    starts = range(0, 1 << 40, chunk)
    if processes <= 1:
        for first in starts:
            yield make(first, chunk)
        return
    # Spawned, not forked: a forked copy of a program with threads (a tensor library's, say) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting: list[Future[T]] = []
        following = iter(starts)
        try:
            while True:
                while len(waiting) < 3 * processes:
                    waiting.append(pool.submit(make, next(following), chunk))
                yield waiting.pop(0).result()
        finally:
            with contextlib.suppress(Exception):
                pool.shutdown(wait=False, cancel_futures=True)
