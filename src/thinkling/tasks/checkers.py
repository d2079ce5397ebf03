"""Processes that compare answers through packages, each question with a hard time limit.

A process is started when it is first needed and answers many questions; one that takes too long is killed, and the
answer is wrong. Usable from several threads: each takes a process of its own.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import selectors
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Literal

from thinkling.errors import InputError
from thinkling.tasks.confined.wire import Channel, LostError
from thinkling.tasks.sandbox import pipe, start_process

Kind = Literal["math", "gym"]
SECONDS = 3.0
"""Wall-clock time for one answer."""
_STARTUP_SECONDS = 60.0
_MEMORY_MB = 2048
_LONGEST = 4000
"""Characters of an answer at most."""
_PACKAGES = {"math": ("math_verify", "math-verify"), "gym": ("reasoning_gym", "reasoning-gym")}


class Checker:
    """One process, for one thread at a time."""

    def __init__(self, kind: Kind) -> None:
        """Start it.

        Raises:
            InputError: it does not start, for instance because the package is broken.
        """
        self._stack = ExitStack()
        self.alive = True
        try:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="thinkling-checker-"))
            (self._source, answer), (questions, self._sink) = pipe(self._stack), pipe(self._stack)
            self.process = start_process(
                self._stack, "checker", folder, None, (questions, answer), quiet=True
            )
            answer.close()
            questions.close()
            self._channel = Channel(self._source.fileno(), self._sink.fileno())
            path = [entry for entry in sys.path if entry and os.path.isdir(entry)]
            job = {"kind": kind, "path": path, "folder": folder, "memory_mb": _MEMORY_MB}
            ready = self._ask(job, _STARTUP_SECONDS)
        except BaseException:
            self.close()
            raise
        if ready is None:
            self.close()
            name = _PACKAGES[kind][1]
            raise InputError(
                f"the package {name}, which does not start", "a package that works", f"install {name} again"
            )

    def right(self, question: Mapping[str, Any], seconds: float) -> bool:
        """Whether an answer is right; where the process does not say so in time it is killed, and it is not."""
        answer = self._ask(dict(question), seconds)
        if answer is None:
            self.close()
            return False
        return answer.get("right") is True

    def close(self) -> None:
        """Kill the process."""
        self.alive = False
        self._stack.close()

    def _ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        try:
            self._channel.send(question)
            with selectors.DefaultSelector() as selector:
                selector.register(self._source, selectors.EVENT_READ)
                deadline = time.monotonic() + seconds
                while (left := deadline - time.monotonic()) > 0:
                    if selector.select(left):
                        # A message is short enough to arrive whole.
                        answer = self._channel.receive()
                        return answer if isinstance(answer, dict) else None
        except (LostError, ValueError):
            return None
        return None


class CheckerPool:
    """Processes of one kind that wait for questions."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._lock = threading.Lock()
        self._waiting: list[Checker] = []
        self._owner = os.getpid()

    def right(self, question: Mapping[str, Any], seconds: float = SECONDS) -> bool:
        """Whether an answer is right.

        Raises:
            InputError: no process can be started.
        """
        with self._lock:
            if self._owner != os.getpid():
                # A fork does not own its parent's processes.
                self._waiting, self._owner = [], os.getpid()
            checker = self._waiting.pop() if self._waiting else None
        if checker is None:
            checker = Checker(self.kind)
        try:
            return checker.right(question, seconds)
        except BaseException:
            checker.close()
            raise
        finally:
            if checker.alive:
                with self._lock:
                    self._waiting.append(checker)

    def close(self) -> None:
        """Kill the processes that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if self._owner == os.getpid():
            for checker in waiting:
                with suppress(OSError):
                    checker.close()


_POOLS: dict[Kind, CheckerPool] = {}
_POOLS_LOCK = threading.Lock()


def _pool(kind: Kind) -> CheckerPool:
    with _POOLS_LOCK:
        if kind not in _POOLS:
            _POOLS[kind] = CheckerPool(kind)
            atexit.register(_POOLS[kind].close)
        return _POOLS[kind]


def math_right(expected: str, given: str, *, seconds: float = SECONDS) -> bool:
    """Whether math-verify finds two expressions equal.

    Raises:
        InputError: it is not installed.
    """
    require_math_verify()
    if len(given) > _LONGEST:
        return False
    return _pool("math").right({"expected": expected, "given": given}, seconds)


def gym_right(dataset: str, entry: Mapping[str, Any], given: str, *, seconds: float = SECONDS) -> bool:
    """Whether a data set of reasoning-gym gives an answer its full score.

    Args:
        dataset: its name.
        entry: the entry that the question was made with, or the `seed` and the `index` that it is drawn from.
        given: the answer.
        seconds: wall-clock time.

    Raises:
        InputError: reasoning-gym is not installed.
    """
    _require("gym")
    if len(given) > _LONGEST:
        return False
    return _pool("gym").right({"dataset": dataset, "entry": dict(entry), "given": given}, seconds)


def require_math_verify() -> None:
    """Refuse to go on without math-verify.

    Raises:
        InputError: it is not installed.
    """
    _require("math")


def require_gym(dataset: str) -> None:
    """Refuse to go on without reasoning-gym or with a data set that it does not have.

    Raises:
        InputError: it is not installed or does not know the data set (says the nearest).
    """
    from thinkling.errors import nearest
    from thinkling.tasks.gym import gym_names

    names = gym_names()
    if dataset not in names:
        raise InputError(
            f"gym:{dataset}", f"one of reasoning-gym's {len(names)} data sets", nearest(dataset, names)
        )


def _require(kind: Kind) -> None:
    module, name = _PACKAGES[kind]
    if module not in sys.modules and importlib.util.find_spec(module) is None:
        raise InputError(
            f"the reward {kind!r} without the package {name}",
            f"the extra `{kind}`",
            f"install it: pip install 'thinkling[{kind}]'",
        )
