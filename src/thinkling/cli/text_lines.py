"""Texts for a command: typed after it, or one in each line of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from thinkling.data.csv_tables import decoded_lines
from thinkling.errors import InputError


def one_of_text_or_file(text: str, file: Path | None) -> None:
    """InputError unless exactly one of the two is given."""
    if bool(text) == (file is not None):
        raise InputError(
            "a text and --file" if text else "neither a text nor --file",
            "one of the two",
            "type a text after RUN, or give --file TXT",
        )


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file without their ends, one at a time.

    Raises:
        InputError: no such file, or bytes that are not UTF-8.
    """
    with closing(decoded_lines(path)) as lines:
        for line in lines:
            yield line.rstrip("\r\n")
