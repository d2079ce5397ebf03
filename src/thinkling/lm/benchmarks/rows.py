"""The rows of a benchmark's published file: JSON lines, a JSON list, or Parquet, as the Hugging Face hub keeps most.

Every error names the file and the row.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from thinkling.data.corpus import numbered_lines
from thinkling.errors import InputError, nearest
from thinkling.lm.benchmarks.item import BenchmarkItem

_KINDS = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
_ALLOWED = "a file that ends in .jsonl or .json, also .gz, or in .parquet, or a folder with one"
_TEST = re.compile(r"(^|[^a-z])test([^a-z]|$)", re.IGNORECASE)


def benchmark_file(place: Path) -> Path:
    """The file with the test questions.

    Args:
        place: the file, or a folder that holds it: the file with "test" in its name, or the only one.

    Raises:
        InputError: nothing there, or a folder in which none or several could be meant.
    """
    if not place.is_dir():
        if not place.exists():
            raise InputError(f"{place}: no such file or folder", _ALLOWED, "check the path")
        return place
    files = sorted(
        path
        for path in place.rglob("*")
        if path.is_file() and path.name.lower().endswith(_KINDS) and not path.name.startswith(".")
    )
    found = [path for path in files if _TEST.search(path.name)] or files
    if len(found) > 1:  # the same rows may be there as JSON and as Parquet
        found = [path for path in found if path.suffix != ".parquet"] or found
    if len(found) != 1:
        listed = ", ".join(path.name for path in found[:5]) or "no such file"
        raise InputError(f"{place}: {listed}", _ALLOWED, "give the path of the file with the test questions")
    return found[0]


def first_items(
    place: Path,
    item: Callable[[int, str, Mapping[str, Any]], BenchmarkItem | None],
    n: int,
    *,
    may_be_none: bool = False,
) -> list[BenchmarkItem]:
    """The first n questions (0: all) of a file, or of the file with the test questions in a folder.

    Args:
        place: the file or folder.
        item: makes a question of its number, the row's place for messages, and the row; None: the row is passed over.
        n: how many.
        may_be_none: whether a file without a question is none of the user's mistakes.

    Raises:
        InputError: as for `benchmark_file` and `rows`, what `item` raises, or no question.
    """
    path = benchmark_file(place)
    found: list[BenchmarkItem] = []
    for where, row in rows(path):
        made = item(len(found), where, row)
        if made is not None:
            found.append(made)
        if n and len(found) == n:
            break
    if not found and not may_be_none:
        raise InputError(f"{path}: no question", "at least one row", "check the path")
    return found


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with its place for messages.

    Raises:
        InputError: no such file, another kind, undecodable bytes, a damaged archive, or a row that is no JSON object.
    """
    if not path.name.lower().endswith(_KINDS):
        raise InputError(f"{path}: an unknown kind of file", _ALLOWED, "convert it, or check the path")
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path)
        return
    with closing(numbered_lines(path)) as lines:
        first = True
        for number, line in lines:
            if not line.strip():
                continue
            if first and line.lstrip().startswith("["):
                yield from _list(path, line + "".join(rest for _, rest in lines))
                return
            first = False
            yield _object(f"{path} line {number}", line)


def _object(place: str, text: str) -> tuple[str, dict[str, Any]]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{place}: no JSON ({error})", "one JSON object a line", "correct this line"
        ) from None
    return place, _checked(place, row)


def _list(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON ({error})", "a list of JSON objects", "correct the file") from None
    for number, row in enumerate(values, 1):
        place = f"{path} row {number}"
        yield place, _checked(place, row)


def _checked(place: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(f"{place}: {json.dumps(row)[:40]}", "a JSON object", "correct this row")
    return row


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            f"{path} without the package pyarrow",
            "JSON lines, or an installed pyarrow",
            "pip install 'thinkling[hub]'",
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason})", "a Parquet file", "fetch it again") from None


def text_field(row: Mapping[str, Any], names: str | Sequence[str], place: str) -> str:
    """A field as text without the white space around it; the first of several names that the row has.

    Raises:
        InputError: the row has no such field, or it is neither a text nor a number, or it is empty.
    """
    wanted = (names,) if isinstance(names, str) else tuple(names)
    name = next((name for name in wanted if name in row), None)
    allowed = f"a row with {' or '.join(map(repr, wanted))}"
    if name is None:
        fields = ", ".join(map(repr, row)) or "none"
        hint = nearest(wanted[0], map(str, row)) if row else "add it"
        raise InputError(f"{place}: the fields {fields[:80]}", allowed, hint)
    value = row[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"{place}: {name} is {json.dumps(value, default=str)[:40]}",
            "a text or a number",
            "correct this row",
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{place}: half of a surrogate pair", "text that UTF-8 can hold", "correct this row"
        ) from None
    return value.strip()


def code_field(row: Mapping[str, Any], name: str, place: str) -> str:
    """A field with code, as it is.

    Raises:
        InputError: as for `text_field`.
    """
    text_field(row, name, place)
    return str(row[name])


def text_list_field(row: Mapping[str, Any], name: str, place: str) -> list[str]:
    """A field that is a list of texts, at least one.

    Raises:
        InputError: the row has no such field, or it is something else.
    """
    value = row.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        given = json.dumps(value, default=str)[:40] if name in row else "missing"
        raise InputError(f"{place}: {name} is {given}", "a list of texts", "correct this row")
    return value
