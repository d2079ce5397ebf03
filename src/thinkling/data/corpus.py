"""Documents of a text corpus, read one at a time.

A corpus is a file or a folder of files:

    *.jsonl, *.json   one JSON object a line; its field "text" is a document
    *.txt             blocks between blank lines are documents
    *.gz              each of these, compressed

Every error names the file and the line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from thinkling.errors import InputError

EXTENSIONS = (".jsonl", ".json", ".txt")
"""The kinds of files that are read; each may be followed by .gz."""

_ALLOWED = "a file that ends in .jsonl, .json or .txt, or in one of these and .gz, or a folder of such files"


def documents(source: Path) -> Iterator[str]:
    """The documents of a file, or of all files below a folder in the order of their names; blank ones are left out.

    In a folder, hidden files and files of other kinds are skipped. At most one document is in memory.

    Raises:
        InputError: no such file, an unknown kind, a damaged archive, bytes that are not UTF-8, a line that is no JSON
            object with a text; names file and line.
    """
    source = Path(source)
    for path in corpus_files(source):
        with closing(numbered_lines(path)) as lines:
            read = _blocks if _kind(path) == ".txt" else _json_texts
            yield from read(path, lines)


def corpus_files(source: Path) -> list[Path]:
    """The files of a corpus, in the order in which they are read.

    Raises:
        InputError: nothing there, a file of an unknown kind, or a folder without a file of a known kind.
    """
    source = Path(source)
    if not source.is_dir():
        if not source.exists():
            raise InputError(f"{source}: no such file or folder", _ALLOWED, "check the path")
        if _kind(source) is None:
            raise InputError(f"{source}: an unknown kind of file", _ALLOWED, "convert it, or check the path")
        return [source]
    found = [
        path
        for path in sorted(source.rglob("*"), key=lambda path: path.relative_to(source).as_posix())
        if path.is_file()
        and _kind(path) is not None
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    if not found:
        raise InputError(f"{source}: a folder without text files", _ALLOWED, "check the path")
    return found


def _kind(path: Path) -> str | None:
    """The extension that tells how a file is read; None where it is of no known kind."""
    name = path.name.lower().removesuffix(".gz")
    return next((extension for extension in EXTENSIONS if name.endswith(extension)), None)


def numbered_lines(path: Path) -> Generator[tuple[int, str], None, None]:
    """The lines of a file, also of a compressed one, with their numbers from 1.

    Raises:
        InputError: no such file, a damaged archive, bytes that are not UTF-8; names file and line.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, 1):
                try:
                    # The mark that some editors put before the first line is no part of the text.
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{path} line {number}: byte {raw[error.start]:#04x} that is not UTF-8",
                        "text in UTF-8",
                        "save the file as UTF-8",
                    ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: damaged or cut short after line {number} ({error})",
            "a whole gzip file",
            "fetch it again",
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})", _ALLOWED, "check the path") from None


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _json_texts(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for number, line in lines:
        if line.strip():
            text = _json_text(f"{path} line {number}", line)
            if text.strip():
                yield text


def _json_text(place: str, line: str) -> str:
    """The field "text" of one line."""
    allowed = 'one JSON object a line with a field "text"'
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({error})", allowed, "correct this line") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: {line.strip()[:40]}", allowed, "correct this line")
    text = row.get("text")
    if not isinstance(text, str):
        what = f"text is {json.dumps(text)[:40]}" if "text" in row else "no text"
        fields = ", ".join(map(repr, row)) or "none"
        raise InputError(f"{place}: {what} (fields: {fields[:80]})", allowed, "correct or remove this line")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{place}: half of a surrogate pair", "text that UTF-8 can hold", "correct or remove this line"
        ) from None
    return text


def _blocks(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    block: list[str] = []
    for _, line in lines:
        if line.strip():
            block.append(line.rstrip("\r\n"))
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)
