"""The program's objects as its tests see them: what is done to one is asked of the program's process.

A reference is never equal to plain data, and no arithmetic turns one into a number: an object that claims to be equal
to everything earns nothing. Where two of the program's own objects are compared, the program's class decides.
"""

from __future__ import annotations

import builtins
import importlib
import operator
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

from thinkling.tasks.confined import wire


class ProgramError(BaseException):
    """The program ended before its end, or said something that cannot be; no `except Exception` may hide it."""


class Remote:
    """One of the program's functions, classes or other objects."""

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it in the program's process."""
        return _asked(self, self, *arguments, **named)

    def __getattr__(self, name: str) -> Any:
        """An attribute of it."""
        return _asked(self, getattr, self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _asked(self, setattr, self, name, value)

    def __delattr__(self, name: str) -> None:
        _asked(self, delattr, self, name)

    def __eq__(self, other: object) -> bool:
        """Equal to another of the program's objects, where its class says so; never to anything else."""
        if not isinstance(other, Remote):
            return False
        return number_of(self) == number_of(other) or bool(_asked(self, operator.eq, self, other))

    def __hash__(self) -> int:
        return int(_asked(self, hash, self))

    def __bool__(self) -> bool:
        return _asked(self, operator.truth, self) is True

    def __len__(self) -> int:
        return int(_asked(self, len, self))

    def __iter__(self) -> Any:
        return _asked(self, iter, self)

    def __next__(self) -> Any:
        return _asked(self, next, self)

    def __contains__(self, item: Any) -> bool:
        return _asked(self, operator.contains, self, item) is True

    def __getitem__(self, key: Any) -> Any:
        return _asked(self, operator.getitem, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _asked(self, operator.setitem, self, key, value)

    def __delitem__(self, key: Any) -> None:
        _asked(self, operator.delitem, self, key)

    def __str__(self) -> str:
        return str(_asked(self, str, self))

    def __repr__(self) -> str:
        return str(_asked(self, repr, self))

    def __enter__(self) -> Any:
        return self.__getattr__("__enter__")()

    def __exit__(self, *raised: Any) -> bool:
        # What was raised in the tests has a traceback, which stays here.
        return self.__getattr__("__exit__")(None, None, None) is True

    def __instancecheck__(self, instance: Any) -> bool:
        """`isinstance(object, Class)`, both the program's."""
        return isinstance(instance, Remote) and _asked(self, isinstance, instance, self) is True

    def __subclasscheck__(self, subclass: Any) -> bool:
        return isinstance(subclass, Remote) and _asked(self, issubclass, subclass, self) is True


def _order(name: str) -> Callable[[Any, Any], Any]:
    """An order between two of the program's objects; there is none between one and plain data."""
    function = getattr(operator, name)

    def compared(self: Remote, other: Any) -> Any:
        if not isinstance(other, Remote):
            return NotImplemented
        return _asked(self, function, self, other) is True

    return compared


def _arithmetic(name: str, *, reverse: bool) -> Callable[[Any, Any], Any]:
    """Arithmetic; with plain data it gives one of the program's objects again and no number."""
    function = getattr(operator, name)

    def computed(self: Remote, other: Any) -> Any:
        value = _asked(self, function, *((other, self) if reverse else (self, other)))
        if not isinstance(other, Remote) and not isinstance(value, Remote):
            raise TypeError("an object of the program and plain data do not make plain data")
        return value

    return computed


for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _order(_name))
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    _function = f"{_name}_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", _arithmetic(_function, reverse=False))
    setattr(Remote, f"__r{_name}__", _arithmetic(_function, reverse=True))


def number_of(remote: Remote) -> int:
    """The number that a reference goes by."""
    number: int = object.__getattribute__(remote, "_number")
    return number


def _asked(remote: Remote, function: Any, *arguments: Any, **named: Any) -> Any:
    program: Program = object.__getattribute__(remote, "_program")
    return program.call(function, arguments, named)


class Program:
    """The process of the program, as the process of the tests sees it."""

    def __init__(self, channel: wire.Channel) -> None:
        self._channel = channel
        self._lock = threading.RLock()
        self._lent: list[Any] = []
        """Objects of the tests that the program may call back or look at."""
        self._errors: dict[int, type[BaseException]] = {}

    def wait_until_ready(self) -> None:
        """Wait until the process is confined; the program has not begun then.

        Raises:
            ProgramError: it could not be.
        """
        message = self._received()
        if message.get("ready") is not True:
            raise ProgramError("the sandbox could not be set up")

    def wait_for_end(self, proof: str) -> None:
        """Wait until the program has run to its end.

        Args:
            proof: what is sent then, and at no other time.

        Raises:
            ProgramError: it did not.
        """
        message = self._received()
        if message.get("proof") == proof:
            return
        if "e" not in message:
            raise ProgramError("the program sent something else than its end")
        error = wire.unpack_error(message["e"], self._resolve)
        raise ProgramError(f"the program raised {described(error)}")

    def variable(self, name: str) -> Any:
        """The value of a global variable.

        Raises:
            KeyError: there is none.
        """
        return self._ask({"q": "global", "name": name}, ())

    def finish(self) -> None:
        """Wait until the program's threads have ended."""
        self._ask({"q": "end"}, ())

    def call(self, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function there; containers among the arguments are changed here as the call changed them there.

        Raises:
            Exception: what the call raised.
        """
        question = {
            "q": "call",
            "f": wire.pack(function, self._refer),
            "a": [wire.pack(each, self._refer) for each in arguments],
            "k": {key: wire.pack(each, self._refer) for key, each in named.items()},
        }
        return self._ask(question, arguments)

    def _received(self) -> dict[str, Any]:
        message = self._channel.receive()
        if not isinstance(message, dict):
            raise wire.LostError("sent a message that cannot be read")
        return message

    def _ask(self, question: dict[str, Any], arguments: tuple[Any, ...]) -> Any:
        with self._lock:
            self._channel.send(question)
            while True:
                message = self._received()
                if "q" not in message:
                    break
                self._answer(message)
            if message.get("out"):
                sys.stdout.write(str(message["out"]))
            if message.get("missing"):
                raise KeyError(question["name"])
            if "e" in message:
                raise wire.unpack_error(message["e"], self._resolve)
            if "v" not in message:
                raise wire.LostError("sent a message that cannot be read")
            for place, packed in dict(message.get("changed") or {}).items():
                wire.restore(arguments[int(place)], wire.unpack(packed, self._resolve))
            return wire.unpack(message["v"], self._resolve)

    def _answer(self, question: dict[str, Any]) -> None:
        """Answer about an object that was lent: call it, take its next item, read or set a plain attribute."""
        try:
            lent = self._lent[question["number"]]
            if question["q"] == "call" and callable(lent):
                value = lent(*(wire.unpack(each, self._resolve) for each in question["a"]))
            elif question["q"] == "next" and hasattr(lent, "__next__"):
                value = next(lent)
            elif question["q"] in ("get", "set") and _may_be_looked_at(lent, question["name"]):
                if question["q"] == "get":
                    value = getattr(lent, question["name"])
                else:
                    value = setattr(lent, question["name"], wire.unpack(question["value"], self._resolve))  # type: ignore[func-returns-value]  # None is the answer
            else:
                raise AttributeError(f"the program may not use {type(lent).__name__!r} so")
            answer = {"v": wire.pack(value, self._refer)}
        except (wire.LostError, ProgramError):
            raise
        except BaseException as error:  # whatever the tests' function raises is the answer
            answer = {"e": wire.pack_error(error, self._refer)}
        self._channel.send(answer)

    def _refer(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Remote):
            return {"t": "own", "v": number_of(value)}
        if isinstance(value, types.ModuleType):
            return {"t": "module", "v": value.__name__}
        if isinstance(value, BaseException):
            return {"t": "error", "v": wire.pack_error(value, self._refer)}
        for number, error in self._errors.items():
            if value is error:
                return {"t": "own", "v": number}
        name = _standard_name(value)
        if name is not None:
            return {"t": "name", "v": name}
        iterates = hasattr(value, "__next__") and not isinstance(value, types.CoroutineType)
        if not (callable(value) or iterates or type(value).__module__ == "__main__"):
            raise TypeError(f"a {type(value).__name__!r} cannot be handed to the program")
        self._lent.append(value)
        return {"t": "object", "v": len(self._lent) - 1}

    def _resolve(self, tag: str, value: Any) -> Any:
        if tag == "own":
            return self._lent[value]
        if tag == "module" and str(value).split(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(value)
        if tag == "builtin" and isinstance(getattr(builtins, value, None), type):
            return getattr(builtins, value)
        if tag == "error":
            return wire.unpack_error(value, self._resolve)
        if tag == "object":
            return self._object(value)
        raise wire.LostError(f"sent a value of the kind {str(tag)!r}")

    def _object(self, told: dict[str, Any]) -> Any:
        number = int(told["number"])
        if "error" in told:
            if number not in self._errors:
                known = getattr(builtins, str(told["known"]))
                self._errors[number] = type(str(told["error"]), (known,), {})
            return self._errors[number]
        remote = Remote(self, number)
        return self._awaitable(remote) if told.get("coroutine") is True else remote

    async def _awaitable(self, coroutine: Remote) -> Any:
        import asyncio

        return self.call(asyncio.run, (coroutine,), {})


def described(error: BaseException) -> str:
    """An exception in a line."""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _may_be_looked_at(lent: Any, name: Any) -> bool:
    """Objects of classes that the tests define show attributes; a leading underscore leads to everything else."""
    return type(lent).__module__ == "__main__" and isinstance(name, str) and not name.startswith("_")


def _standard_name(value: Any) -> list[str] | None:
    """Module and name of a function or a class of the standard library."""
    owner = getattr(value, "__objclass__", None)
    module = getattr(owner or value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if module.split(".")[0] not in sys.stdlib_module_names or module == "__main__":
        return None
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        return None
    return [module, name] if found is value else None
