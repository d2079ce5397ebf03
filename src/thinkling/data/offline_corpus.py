"""A corpus that needs no network: the documentation strings of the Python packages on this machine.

Files are read, parsed and never run. What is found depends on what is installed, so two machines have two corpora.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

SHORTEST = 40
"""Characters. What is shorter ("Return the value.") teaches little and is repeated everywhere."""

_SITE_FOLDERS = {"site-packages", "dist-packages"}
_SKIPPED_FOLDERS = {"test", "tests", "__pycache__"}


def documentation_strings(folders: Sequence[Path] | None = None) -> Iterator[str]:
    """The docstrings of modules, classes and functions, one at a time, each text once.

    They come folder by folder, in the order of the files' names and of their places in a file, those of a folder before
    those of the folders in it. Tests, texts of less than SHORTEST characters and files that this Python cannot parse
    are left out.

    Args:
        folders: where to look; the standard library and the installed packages where not given.
    """
    seen: set[bytes] = set()
    for folder in _python_folders() if folders is None else folders:
        for path in _python_files(Path(folder)):
            for text in _docstrings(path):
                digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
                if digest not in seen:
                    seen.add(digest)
                    yield text


def _python_folders() -> list[Path]:
    """The folders of the standard library and of installed packages, each once."""
    paths = sysconfig.get_paths()
    # One may be a link to another, as lib64 is to lib.
    return [*dict.fromkeys(Path(paths[name]).resolve() for name in ("stdlib", "purelib", "platlib"))]


def _python_files(folder: Path) -> Iterator[Path]:
    """The Python files below a folder, without those of packages that are installed below a library."""
    for parent, names, files in os.walk(folder):
        # os.walk goes into the folders that are left in this list, in its order.
        names[:] = sorted(name for name in names if name not in _SKIPPED_FOLDERS | _SITE_FOLDERS)
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(parent) / name


def _docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a file that are long enough."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what the parser thinks of other people's escapes is not our subject
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in _owners(tree):
        text = (ast.get_docstring(node) or "").strip()
        if len(text) >= SHORTEST and _is_unicode(text):
            yield text


def _owners(
    tree: ast.Module,
) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """What can have a docstring, in the order of the file."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        if not isinstance(node, ast.expr):
            waiting.extend(reversed([*ast.iter_child_nodes(node)]))


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text: a docstring may hold half of a surrogate pair as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def documentation_file() -> Iterator[Path]:
    """The same as a file of JSON lines while the block lasts: an import reads its source three times."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "python-docs.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for text in documentation_strings():
                file.write(json.dumps({"text": text}) + "\n")
        yield path
