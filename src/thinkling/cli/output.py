"""What a command prints: one JSON object for a script, a table for a person."""

from __future__ import annotations

import contextlib
import contextvars
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TextIO, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a command found out."""

    values: Mapping[str, Any]
    """The JSON object; a person sees it as a table."""
    text: Any = None
    """Shown to a person instead of the table: a string or anything `rich` can print."""
    exit_code: int = 0
    """The exit code, where the answer is also a verdict."""


Outcome: TypeAlias = Report | Mapping[str, Any] | int
"""What a command's `run` returns; a bare number says that it has printed for itself."""

_json_stream: contextvars.ContextVar[TextIO | None] = contextvars.ContextVar("json_stream", default=None)


@contextlib.contextmanager
def only_json() -> Iterator[None]:
    """Send everything printed inside the block to standard error, except what `write_json` writes.

    Where standard output is a real file, its descriptor is exchanged too, so that child processes and
    libraries written in C obey.
    """
    sys.stdout.flush()
    saved: int | None = None
    try:
        descriptor = sys.stdout.fileno()
        saved = os.dup(descriptor)
        os.dup2(sys.stderr.fileno(), descriptor)
    except (OSError, ValueError):  # one of the two is no real file, as under a test's capture
        stream: TextIO = sys.stdout
    else:
        stream = os.fdopen(os.dup(saved), "w", encoding="utf-8")
    token = _json_stream.set(stream)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _json_stream.reset(token)
        if saved is not None:
            sys.stdout.flush()
            with contextlib.suppress(OSError):
                os.dup2(saved, sys.stdout.fileno())
            os.close(saved)
        if stream is not sys.stdout:
            stream.close()


def write_json(values: Any) -> None:
    """One JSON object on one line of standard output, at once."""
    stream = _json_stream.get() or sys.stdout
    stream.write(json.dumps(plain(values), ensure_ascii=False, allow_nan=False) + "\n")
    stream.flush()


def plain(value: Any) -> Any:
    """The value in terms of JSON: paths as text, arrays as lists, a number that is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # a tensor, an array or one of their numbers
        return plain(value.tolist())
    if isinstance(value, Sequence | set | frozenset | Iterator):
        return [plain(item) for item in value]
    return str(value)


def show(outcome: Outcome, as_json: bool) -> int:
    """Print a command's outcome and return the exit code."""
    if isinstance(outcome, int):
        return outcome
    report = outcome if isinstance(outcome, Report) else Report(values=outcome)
    if as_json:
        write_json(report.values)
    else:
        _show_to_person(report)
    return report.exit_code


def _show_to_person(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if report.text is not None:
        console.print(report.text, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 3))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in plain(report.values).items():
        table.add_row(name.replace("_", " "), in_words(value))
    console.print(table)


def in_words(value: Any) -> str:
    """A value for a person: short numbers, `name value` pairs, lists of them line by line, other lists by comma."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        between = "\n" if any(isinstance(item, Mapping) for item in value) else ", "
        return between.join(in_words(item) for item in value) or "none"
    return "–" if value is None else str(value)
