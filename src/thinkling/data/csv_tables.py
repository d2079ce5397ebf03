"""Tables of puzzles as CSV in the Sudoku-Extreme schema, read and written as a stream.

The columns are `source,question,answer,rating`.

Every error names the file and the line.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinkling.errors import InputError, ThinklingError, nearest

COLUMNS = ("source", "question", "answer", "rating")
"""The columns of the schema."""


@dataclass(frozen=True, kw_only=True)
class PuzzleRow:
    """One row of a table; empty or absent columns are None."""

    line: int
    """Line in the file, from 1 (the header's line)."""
    question: str
    """The puzzle, with the blanks around it."""
    answer: str | None = None
    """Its solution."""
    source: str | None = None
    """The collection it is from."""
    rating: int | None = None
    """How hard the collection says it is."""


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    # The mark that some editors put before the first line is no part of the header.
                    yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{path} line {number}: byte {raw[error.start]:#04x} that is not UTF-8",
                        "a CSV file in UTF-8",
                        "save the file as UTF-8",
                    ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "a CSV file", "check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})", "a CSV file", "check the path") from None


def read_rows(path: Path, required: Sequence[str] = ("question", "answer")) -> Iterator[PuzzleRow]:
    """The rows of a CSV file, one at a time; other columns than the schema's are skipped.

    Args:
        path: the file. Its first line names the columns.
        required: the columns that must be there, with a value in every row ("question" always is).

    Raises:
        InputError: no such file, undecodable bytes, a missing column, a row of the wrong width, a missing
            value or a rating that is no whole number; names the line.
    """
    path = Path(path)
    needed = tuple(dict.fromkeys(("question", *required)))
    reader = csv.reader(_lines(path))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        allowed = f"a header with the columns {', '.join(needed)}"
        if not header:
            raise InputError(
                f"{path}: an empty file" if _is_empty(path) else f"{path} line 1: blank", allowed, "add one"
            )
        for name in needed:
            if name not in header:
                raise InputError(
                    f"{path} line 1: no column {name!r} among {', '.join(header)}",
                    allowed,
                    nearest(name, header),
                )
        for name in COLUMNS:
            if header.count(name) > 1:
                raise InputError(f"{path} line 1: column {name!r} twice", allowed, "rename one of them")
        places = {name: header.index(name) for name in COLUMNS if name in header}
        for values in reader:
            if values:
                yield _row(path, reader.line_num, len(header), places, needed, values)
    except csv.Error as error:
        raise InputError(
            f"{path} line {reader.line_num}: {error}", "well-formed CSV", "correct this line"
        ) from None


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


def _row(
    path: Path, line: int, width: int, places: dict[str, int], needed: Sequence[str], values: list[str]
) -> PuzzleRow:
    if len(values) != width:
        raise InputError(
            f"{path} line {line}: {len(values)} values", f"{width}, as in the header", "correct this line"
        )
    found = {name: values[place] or None for name, place in places.items()}
    for name in needed:
        if found[name] is None:
            raise InputError(
                f"{path} line {line}: no {name}", f"a value in column {name!r}", "correct this line"
            )
    rating = None
    if found.get("rating") is not None:
        try:
            rating = int(found["rating"] or "")
            if not 0 <= rating < 2**31:
                raise ValueError
        except ValueError:
            raise InputError(
                f"{path} line {line}: rating {found['rating']!r}",
                "a whole number from 0, or nothing",
                "correct it",
            ) from None
    return PuzzleRow(
        line=line,
        question=found["question"] or "",
        answer=found.get("answer"),
        source=found.get("source"),
        rating=rating,
    )


def write_rows(path: Path, rows: Iterable[PuzzleRow]) -> int:
    """Writes rows as CSV with the schema's four columns, all of them or none; returns how many.

    Raises:
        ThinklingError: the disk refuses.
    """
    path = Path(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                rating = "" if row.rating is None else row.rating
                writer.writerow([row.source or "", row.question, row.answer or "", rating])
                count += 1
        fresh.rename(path)
    except OSError as error:
        raise ThinklingError(
            f"cannot write {path}: {error}; free some space or choose another place"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return count
