"""Tables as JSON lines: one object a line, read as a stream.

Every error names the file and the line.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from thinkling.data.csv_tables import decoded_lines
from thinkling.errors import InputError, nearest


def read_json_lines(path: Path, columns: Sequence[str]) -> Generator[tuple[int, dict[str, str]], None, None]:
    """The rows of a JSONL file, one at a time: the line of each, and its values by key; blank lines are skipped.

    A value is a text, a whole number, or a list of these, which becomes a text with blanks between them.

    Raises:
        InputError: no such file, undecodable bytes, no JSON object, a missing key, or another kind of value.
    """
    path = Path(path)
    with closing(decoded_lines(path)) as lines:
        for line, text in enumerate(lines, 1):
            if text.strip():
                yield line, _values(f"{path} line {line}", text, columns)


def _values(place: str, text: str, columns: Sequence[str]) -> dict[str, str]:
    """The values of one line."""
    allowed = f"one JSON object a line with {', '.join(map(repr, columns))}"
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({error})", allowed, "correct this line") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: {text.strip()[:40]}", allowed, "correct this line")
    values = {}
    for name in columns:
        if name not in row:
            keys = ", ".join(map(repr, row)) or "none"
            hint = nearest(name, row) if row else "add it"
            raise InputError(f"{place}: no key {name!r} among {keys}", allowed, hint)
        value = _text(row[name])
        if not value:
            what = f"no {name}" if value == "" else f"{name} is {json.dumps(row[name])[:40]}"
            raise InputError(
                f"{place}: {what}", "a text, a whole number, or a list of these", "correct this line"
            )
        values[name] = value
    return values


def _text(value: Any) -> str | None:
    """A value as text; None where it is of another kind."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and all(isinstance(entry, (str, int)) for entry in value):
        parts = [_text(entry) for entry in value]
        return None if None in parts else " ".join(part for part in parts if part is not None)
    return None
