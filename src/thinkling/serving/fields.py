"""Reading a JSON object field by field: what is wrong is named, and nothing unknown is passed over in silence."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from thinkling.errors import nearest
from thinkling.serving.errors import RequestError

_LONGEST_SHOWN = 80


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        RequestError: no UTF-8, no JSON, or JSON that is no object.
    """
    try:
        values = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(f"a body that is no JSON ({why})", "a JSON object in UTF-8", "mend it") from None
    if not isinstance(values, dict):
        raise RequestError(
            f"a body that is {_kind(values)}", "a JSON object", "send the request as an object"
        )
    return values


class Fields:
    """The fields of an object. One that is `null` counts as not given.

    Args:
        values: the object.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def value(self, name: str) -> Any:
        """A field as it is; None where it is not given."""
        return self._values.get(name)

    def only(self, known: Collection[str]) -> None:
        """Refuse every other field.

        Raises:
            RequestError: naming the first unknown field and the known one most alike.
        """
        for name in self._values:
            if name not in known:
                raise RequestError(
                    f"unknown field {shown(name)}",
                    ", ".join(sorted(known)),
                    nearest(name, known),
                    param=name,
                    code="unknown_parameter",
                )

    def neutral(self, name: str, values: tuple[Any, ...]) -> None:
        """Refuse a field unless it asks for nothing.

        Raises:
            RequestError: it has another value.
        """
        # `0 == False` in Python, and either asks for nothing wherever the other does.
        if name in self._values and self._values[name] not in values:
            allowed = " or ".join(json.dumps(value) for value in values)
            raise self.wrong(name, allowed, f"leave {name} out: this server does not have it")

    def number(self, name: str, default: float, least: float, most: float, *, above: bool = False) -> float:
        """A finite number from `least` (or above it) to `most`.

        Raises:
            RequestError: anything else.
        """
        value = self._values.get(name, default)
        allowed = f"a number {'above' if above else 'from'} {least:g} {'up ' if above else ''}to {most:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, allowed)
        if not least <= value <= most or (above and value == least):
            raise self.wrong(name, allowed)
        return float(value)

    def whole(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """A whole number from `least` to `most`.

        Raises:
            RequestError: anything else.
        """
        value = self._values.get(name, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false.

        Raises:
            RequestError: anything else.
        """
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def text(self, name: str, default: str) -> str:
        """A text.

        Raises:
            RequestError: anything else.
        """
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def inner(self, name: str) -> Fields:
        """An object inside; an empty one where it is not given.

        Raises:
            RequestError: anything else.
        """
        value = self._values.get(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value)

    def wrong(self, name: str, allowed: str, next_step: str = "") -> RequestError:
        """The error for a field whose value is not allowed."""
        given = f"{name} {shown(self._values.get(name))}"
        return RequestError(given, allowed, next_step or f"give another {name}", param=name)


def shown(value: Any) -> str:
    """A value for a message, as JSON and not too long."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return f"the value {shown(value)}"


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refused)
