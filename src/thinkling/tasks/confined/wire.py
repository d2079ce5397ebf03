"""Values between the process of a program and the process of its tests: plain data as copies, the rest by reference.

What comes out of the program's process is never trusted: reading a message makes plain data, objects of a few classes
of the standard library, and references; it runs nothing that the sender chose.
"""

from __future__ import annotations

import builtins
import datetime
import json
import os
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

LONGEST = 16 * 2**20
"""Bytes of a message at most."""
_LARGE = 2**63
"""Numbers from here on are written in hexadecimal, which takes time proportional to their length."""


class LostError(BaseException):
    """The other process is gone, or what it sends is no message; no `except Exception` of a test may hide it."""


class Channel:
    """Messages in terms of JSON over two pipes."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink

    @staticmethod
    def frame(message: Any) -> bytes:
        """A message as it is sent: its length in 4 bytes, then JSON.

        Raises:
            ValueError: it is too long.
        """
        text = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(text) > LONGEST:
            raise ValueError(f"a value of more than {LONGEST} bytes")
        return len(text).to_bytes(4, "big") + text

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            LostError: nobody reads.
        """
        self.write(self.frame(message))

    def write(self, rest: bytes) -> None:
        """Send bytes as they are."""
        try:
            while rest:
                rest = rest[os.write(self._sink, rest) :]
        except OSError:
            raise LostError("is gone") from None

    def receive(self) -> Any:
        """The next message.

        Raises:
            LostError: there is none, or it is none.
        """
        length = int.from_bytes(self._read(4), "big")
        if length > LONGEST:
            raise LostError("sent a message that is too long")
        try:
            return json.loads(self._read(length))
        except (ValueError, RecursionError):
            raise LostError("sent a message that cannot be read") from None

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            try:
                part = os.read(self._source, count)
            except OSError:
                part = b""
            if not part:
                raise LostError("is gone")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def pack(value: Any, refer: Callable[[Any], dict[str, Any]]) -> Any:
    """A value in terms of JSON.

    Args:
        value: anything.
        refer: describes what is not plain data: `{"t": …}` with a tag that the other side's `resolve` knows.
    """

    def many(values: Any) -> list[Any]:
        return [pack(each, refer) for each in values]

    def pairs(mapping: Any) -> list[Any]:
        return [many(pair) for pair in dict.items(mapping)]

    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return value if -_LARGE < value < _LARGE else {"t": "int", "v": hex(value)}
    if kind is list:
        return many(value)
    if kind in (tuple, set, frozenset):
        return {"t": kind.__name__, "v": many(value)}
    if kind in (dict, OrderedDict, Counter):
        return {"t": kind.__name__, "v": pairs(value)}
    if kind is defaultdict:
        # What it makes for missing keys stays behind; equality does not look at it.
        return {"t": "dict", "v": pairs(value)}
    if kind in (bytes, bytearray):
        return {"t": kind.__name__, "v": bytes(value).hex()}
    if kind is complex:
        return {"t": "complex", "v": [value.real, value.imag]}
    if kind in (range, slice):
        return {"t": kind.__name__, "v": many((value.start, value.stop, value.step))}
    if kind is deque:
        return {"t": "deque", "v": [many(value), value.maxlen]}
    if kind in _VIEWS:
        return {"t": _VIEWS[kind], "v": many(value)}
    if kind is Fraction:
        return {"t": "Fraction", "v": many((value.numerator, value.denominator))}
    if kind is Decimal:
        return {"t": "Decimal", "v": str(value)}
    if kind in (datetime.date, datetime.time, datetime.datetime):
        return {"t": kind.__name__, "v": value.isoformat()}
    if kind is datetime.timedelta:
        return {"t": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    if value is Ellipsis:
        return {"t": "Ellipsis", "v": None}
    return _pack_subclass(value, refer, many)


def _pack_subclass(value: Any, refer: Callable[[Any], dict[str, Any]], many: Callable[[Any], Any]) -> Any:
    """What is a plain value of a class of one's own, such as a member of an IntEnum; else a reference."""
    kind = type(value)
    if isinstance(value, int):
        return pack(int.__int__(value), refer)
    if isinstance(value, str) and not hasattr(kind, "_member_map_"):
        return "".join(str.__iter__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return {"t": "namedtuple", "v": [kind.__name__, list(kind._fields), many(tuple.__iter__(value))]}
    return refer(value)


_VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}


def unpack(data: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """A value from terms of JSON.

    Args:
        data: what `pack` made.
        resolve: makes an object of a tag and what it says, for tags that are not plain data.

    Raises:
        LostError: it is no value.
    """
    try:
        return _unpack(data, resolve)
    except LostError:
        raise
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError, AttributeError) as error:
        raise LostError(f"sent a value that cannot be read ({error})") from None


def _unpack(data: Any, resolve: Callable[[str, Any], Any]) -> Any:
    if data is None or type(data) in (bool, int, float, str):
        return data
    if type(data) is list:
        return [_unpack(each, resolve) for each in data]
    tag, value = data["t"], data["v"]
    if tag in _MANY:
        return _MANY[tag](_unpack(each, resolve) for each in value)
    if tag in _PAIRS:
        return _PAIRS[tag]({_unpack(key, resolve): _unpack(item, resolve) for key, item in value})
    if tag in _SIMPLE:
        return _SIMPLE[tag](value)
    if tag == "deque":
        return deque((_unpack(each, resolve) for each in value[0]), maxlen=_unpack(value[1], resolve))
    if tag in ("range", "slice", "Fraction"):
        kinds: dict[str, Callable[..., Any]] = {"range": range, "slice": slice, "Fraction": Fraction}
        return kinds[tag](*(_unpack(each, resolve) for each in value))
    if tag == "namedtuple":
        name, fields, values = value
        # `rename` replaces field names that would be no attributes.
        made = namedtuple(str(name), [str(each) for each in fields], rename=True)  # type: ignore[misc]  # fields are known at run time only
        return made(*(_unpack(each, resolve) for each in values))
    return resolve(tag, value)


_MANY: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "keys": lambda values: dict.fromkeys(values).keys(),
    "values": lambda values: dict(enumerate(values)).values(),
    "items": lambda values: dict(values).items(),
}
_PAIRS: dict[str, Callable[[Any], Any]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
_SIMPLE: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda parts: complex(*map(float, parts)),
    "Decimal": Decimal,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "timedelta": lambda parts: datetime.timedelta(*map(int, parts)),
    "Ellipsis": lambda _: Ellipsis,
}


def restore(old: Any, new: Any) -> Any:
    """Bring a container to a new content in place, as far down as its shape is the same; else the new value."""
    if type(old) is not type(new):
        return new
    if isinstance(old, list):
        same = len(old) == len(new)
        old[:] = [restore(a, b) for a, b in zip(old, new, strict=True)] if same else new
    elif isinstance(old, dict):
        kept = {key: restore(old[key], value) if key in old else value for key, value in new.items()}
        old.clear()
        old.update(kept)
    elif isinstance(old, (set, deque)):
        content = list(new)
        old.clear()
        (old.update if isinstance(old, set) else old.extend)(content)
    elif isinstance(old, bytearray):
        old[:] = new
    else:
        return new
    return old


def mutable(value: Any) -> bool:
    """Whether a call may change a value in place."""
    if isinstance(value, tuple):
        return any(mutable(each) for each in value)
    return isinstance(value, (list, dict, set, deque, bytearray))


def pack_error(error: BaseException, refer: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """An exception: its class by the nearest one of the language itself, its own class, and what it says."""
    kind = type(error)
    known = [each.__name__ for each in kind.__mro__ if getattr(builtins, each.__name__, None) is each]
    own = None if known and known[0] == kind.__name__ else pack(kind, refer)
    try:
        arguments = [pack(each, refer) for each in error.args]
    except Exception:  # an argument that cannot be described does not matter
        arguments = [str(error)[:1000]]
    return {"known": known[0] if known else "Exception", "own": own, "arguments": arguments}


def unpack_error(data: Any, resolve: Callable[[str, Any], Any]) -> BaseException:
    """The exception that `pack_error` described.

    Raises:
        LostError: it is none.
    """
    try:
        kind = getattr(builtins, str(data["known"]))
        own = None if data["own"] is None else _unpack(data["own"], resolve)
        arguments = [_unpack(each, resolve) for each in data["arguments"]]
        if isinstance(own, type) and issubclass(own, BaseException):
            kind = own
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            kind = Exception
        try:
            made = kind(*arguments)
        except Exception:  # a class with arguments of its own, such as UnicodeDecodeError
            return Exception(*arguments)
    except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError, AttributeError):
        raise LostError("sent an exception that cannot be read") from None
    assert isinstance(made, BaseException), "its class is one"
    return made
