"""Tables as CSV, read and written as a stream: with any columns, or puzzles in the Sudoku-Extreme schema.

The schema's columns are `source,question,answer,rating`.

Every error names the file and the line.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
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


def decoded_lines(path: Path) -> Generator[str, None, None]:
    """The lines of a UTF-8 file, one at a time; InputError naming the line where they are not UTF-8."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    # The mark that some editors put before the first line is no part of the header.
                    yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{path} line {number}: byte {raw[error.start]:#04x} that is not UTF-8",
                        "a file in UTF-8",
                        "save the file as UTF-8",
                    ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "a file with a table", "check the path") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error})", "a file with a table", "check the path"
        ) from None


def read_table(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> Generator[tuple[int, dict[str, str | None]], None, None]:
    """The rows of a CSV file, one at a time: the line each begins at, and its values by column.

    Quoting is that of RFC 4180, so a value may hold commas, quotes and line ends. Case and blanks around a
    column's name do not matter; of values not even the blanks around them are lost.

    Args:
        path: the file. Its first line names the columns.
        required: the columns that must be there, with a value in every row.
        optional: columns that may be there; where they or their values are not, the value is None.

    Raises:
        InputError: no such file, undecodable bytes, a missing column, a row of the wrong width, or a missing
            value; names the line.
    """
    path = Path(path)
    reader = csv.reader(decoded_lines(path), strict=True)
    line = 1
    try:
        header = next(reader, [])
        places = _places(path, [name.strip().lower() for name in header], required, optional)
        line = reader.line_num + 1
        for values in reader:
            if values:
                if len(values) != len(header):
                    raise InputError(
                        f"{path} line {line}: {len(values)} values",
                        f"{len(header)}, as in the header",
                        "correct this line",
                    )
                found = {name: values[place] or None for name, place in places.items()}
                for name in required:
                    if found[name] is None:
                        raise InputError(
                            f"{path} line {line}: no {name}",
                            f"a value in column {name!r}",
                            "correct this line",
                        )
                yield line, found
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path} line {line}: {error}", "well-formed CSV", "correct this line") from None


def _places(
    path: Path, header: list[str], required: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    """Where each column is."""
    allowed = f"a header with the columns {', '.join(required)}"
    if not header:
        empty = path.stat().st_size == 0
        raise InputError(f"{path}: an empty file" if empty else f"{path} line 1: blank", allowed, "add one")
    for name in required:
        if name.strip().lower() not in header:
            raise InputError(
                f"{path} line 1: no column {name!r} among {', '.join(header)}", allowed, nearest(name, header)
            )
    places = {}
    for name in (*required, *optional):
        if header.count(name.strip().lower()) > 1:
            raise InputError(f"{path} line 1: column {name!r} twice", allowed, "rename one of them")
        if name.strip().lower() in header:
            places[name] = header.index(name.strip().lower())
    return places


def read_rows(
    path: Path,
    required: Sequence[str] = ("question", "answer"),
    *,
    question: str = "question",
    answer: str = "answer",
) -> Generator[PuzzleRow, None, None]:
    """The rows of a CSV file in the schema, one at a time; other columns are skipped.

    Args:
        path: the file. Its first line names the columns.
        required: the columns that must be there, with a value in every row ("question" always is).
        question: what the file calls the column `question`.
        answer: what it calls the column `answer`.

    Raises:
        InputError: as `read_table`, and for a rating that is no whole number; names the line.
    """
    names = {"question": question, "answer": answer}
    needed = [names.get(name, name) for name in dict.fromkeys(("question", *required))]
    with closing(read_table(path, needed, [names.get(name, name) for name in COLUMNS])) as rows:
        for line, found in rows:
            yield PuzzleRow(
                line=line,
                question=found[question] or "",
                answer=found.get(answer),
                source=found.get("source"),
                rating=_rating(path, line, found.get("rating")),
            )


def _rating(path: Path, line: int, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        rating = int(text)
        if not 0 <= rating < 2**31:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{path} line {line}: rating {text!r}", "a whole number from 0, or nothing", "correct it"
        ) from None
    return rating


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
