"""Settings read back from config.json into the dataclasses they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from thinkling.errors import InputError, nearest

S = TypeVar("S")


def settings_of(kind: type[S], settings: Mapping[str, Any], where: str) -> S:
    """A config dataclass from a section of config.json.

    Raises:
        InputError: an unknown setting, with the nearest known one.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass, by contract
    if not isinstance(settings, Mapping):
        raise InputError(f"{where} {settings!r} in config.json", "an object", "use another checkpoint or run")
    for key in settings:
        if key not in known:
            raise InputError(f"{where}.{key} in config.json", ", ".join(known), nearest(key, known))
    return kind(**settings)
