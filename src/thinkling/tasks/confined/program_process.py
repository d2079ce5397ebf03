"""The process of the program under test: runs it, then answers what the tests' process asks. Nothing here is trusted.

Whatever a program does to this process, it can only change what is answered. Whether the tests pass is found out in
another process, which never sends their text here.
"""

from __future__ import annotations

import importlib
import io
import json
import operator
import os
import sys
import types
from collections import deque
from contextlib import redirect_stdout, suppress
from itertools import starmap
from typing import Any

from thinkling.tasks.confined import wire
from thinkling.tasks.confined.jail import confine, kept_inside

_NAME = "__main__"
_FORWARDED = 65_536
"""Characters that one call may print for the tests to see."""


def main(source: int, sink: int) -> None:
    """Run the program that standard input describes, and answer until nobody asks any more.

    Args:
        source: descriptor to read questions from.
        sink: descriptor to write answers to.
    """
    module = types.ModuleType(_NAME)
    channel = wire.Channel(source, sink)
    try:
        # One expression, all of it in C: no frame below the program's holds the proof that it ended, which is sent
        # after it has. `exec` raises what the program raises, and then the second step is never taken.
        deque(starmap(operator.call, _steps(channel, module)), maxlen=0)
    except BaseException as error:  # SystemExit too: it is not an end
        channel.send({"e": wire.pack_error(error, Answers(channel, module).refer)})
        return
    with suppress(wire.LostError):
        Answers(channel, module).serve()


def _steps(channel: wire.Channel, module: types.ModuleType) -> Any:
    with open(0, "rb", closefd=False) as file:
        job = json.loads(file.read())
    # The descriptor would give the job back, with its proof.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    confined = confine(
        job["folder"], memory_mb=job["memory_mb"], seconds=job["seconds"], caller=job["caller"]
    )
    inside = kept_inside(job["folder"])
    for name in [name for name in sys.modules if name.split(".")[0] in ("thinkling", "ctypes", "_ctypes")]:
        del sys.modules[name]
    sys.modules[_NAME] = module
    sys.argv = [""]
    sys.addaudithook(_denied)
    if not confined.files:
        sys.addaudithook(inside)
    channel.send({"ready": True})
    proof = channel.frame({"proof": job["proof"]})
    compiled = _Compile(job["program"])
    return iter([(compiled, module), (channel.write, proof)])


class _Compile:
    """Compiles a program when it is run, so that a mistake in its form is the program's own."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, module: types.ModuleType) -> None:
        run = exec  # what this whole folder is for
        run(compile(self._program, "<program>", "exec", dont_inherit=True), module.__dict__)


def _denied(event: str, arguments: Any) -> None:
    """Ways to look at other frames' values and at memory, and where the kernel does not refuse them, at the system."""
    if event in {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames"}:
        raise RuntimeError(f"{event} is not available here")
    if event.startswith(
        ("ctypes.", "subprocess.", "socket.connect", "socket.bind", "os.exec", "os.posix_spawn")
    ):
        raise RuntimeError(f"{event} is not available here")
    if event in {"os.fork", "os.forkpty", "os.system", "os.kill", "os.killpg", "pty.spawn"}:
        raise RuntimeError(f"{event} is not available here")


class Answers:
    """Answers the tests' questions about the program's names and objects."""

    def __init__(self, channel: wire.Channel, module: types.ModuleType) -> None:
        self._channel, self._module = channel, module
        self._objects: list[Any] = []
        """What was given out by reference; kept, so that it stays what it was."""
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        """Answer until the other process is gone."""
        while True:
            self._answer(self._channel.receive())

    def refer(self, value: Any) -> dict[str, Any]:
        """A reference to an object."""
        if isinstance(value, _Theirs):
            return {"t": "own", "v": object.__getattribute__(value, "_number")}
        if isinstance(value, types.ModuleType):
            return {"t": "module", "v": value.__name__}
        if isinstance(value, type) and value.__module__ == "builtins":
            return {"t": "builtin", "v": value.__name__}
        if isinstance(value, BaseException):
            return {"t": "error", "v": wire.pack_error(value, self.refer)}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        told: dict[str, Any] = {"number": number, "coroutine": isinstance(value, types.CoroutineType)}
        if isinstance(value, type) and issubclass(value, BaseException):
            known = (each.__name__ for each in value.__mro__ if each.__module__ == "builtins")
            told |= {"error": value.__name__, "known": next(known)}
        return {"t": "object", "v": told}

    def _resolve(self, tag: str, value: Any) -> Any:
        if tag == "own":
            return self._objects[value]
        if tag == "name":
            return operator.attrgetter(value[1])(importlib.import_module(value[0]))
        if tag == "module":
            return importlib.import_module(value)
        if tag == "error":
            return wire.unpack_error(value, self._resolve)
        if tag == "object":
            return _Theirs(self, value)
        raise wire.LostError(f"sent a value of the kind {tag!r}")

    def _answer(self, question: Any) -> None:
        """Answer one question; the program's exceptions are answers too."""
        printed = io.StringIO()
        answer: dict[str, Any] = {}
        try:
            with redirect_stdout(printed):
                if question["q"] == "global":
                    answer = self._global(question["name"])
                elif question["q"] == "call":
                    answer = self._call(question)
                else:
                    _wait_for_threads()
                    answer = {"v": True}
            self._forward(answer, printed.getvalue())
            self._channel.send(answer)
        except wire.LostError:
            raise
        except BaseException as error:  # SystemExit too
            answer = {"e": wire.pack_error(error, self.refer)}
            self._forward(answer, printed.getvalue())
            self._channel.send(answer)

    def _forward(self, answer: dict[str, Any], printed: str) -> None:
        if len(printed) > _FORWARDED:
            os.write(1, printed.encode("utf-8", "replace"))
        elif printed:
            answer["out"] = printed

    def _global(self, name: str) -> dict[str, Any]:
        if name not in self._module.__dict__:
            return {"missing": True}
        return {"v": wire.pack(self._module.__dict__[name], self.refer)}

    def _call(self, question: Any) -> dict[str, Any]:
        function = wire.unpack(question["f"], self._resolve)
        arguments = [wire.unpack(each, self._resolve) for each in question["a"]]
        named = {key: wire.unpack(each, self._resolve) for key, each in question["k"].items()}
        before = {place: question["a"][place] for place, each in enumerate(arguments) if wire.mutable(each)}
        value = function(*arguments, **named)
        answer: dict[str, Any] = {"v": wire.pack(value, self.refer)}
        after = {place: wire.pack(arguments[place], self.refer) for place in before}
        changed = {place: packed for place, packed in after.items() if packed != before[place]}
        if changed:
            answer["changed"] = changed
        return answer

    def ask(self, question: dict[str, Any]) -> Any:
        """Ask the tests' process, which is waiting for an answer and may itself ask before it answers.

        Raises:
            BaseException: what was raised there.
        """
        for name in ("a", "value"):
            if name in question:
                question[name] = wire.pack(question[name], self.refer)
        self._channel.send(question)
        while True:
            message = self._channel.receive()
            if "q" in message:
                self._answer(message)
            elif "e" in message:
                raise wire.unpack_error(message["e"], self._resolve)
            else:
                return wire.unpack(message["v"], self._resolve)


class _Theirs:
    """An object of the tests: a function to call back, an iterator, or an object with attributes."""

    def __init__(self, answers: Answers, number: int) -> None:
        object.__setattr__(self, "_answers", answers)
        object.__setattr__(self, "_number", number)

    def _asked(self, question: str, **more: Any) -> Any:
        number = object.__getattribute__(self, "_number")
        return object.__getattribute__(self, "_answers").ask({"q": question, "number": number, **more})

    def __call__(self, *arguments: Any) -> Any:
        return self._asked("call", a=list(arguments))

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self._asked("next")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._asked("get", name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._asked("set", name=name, value=value)


def _wait_for_threads() -> None:
    """As Python does before it ends: wait for threads that are no daemons."""
    import threading

    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
