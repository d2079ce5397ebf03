"""The corpus every machine has: docstrings, read without running anything."""

import itertools
import json

from thinkling.data import offline_corpus
from thinkling.data.offline_corpus import SHORTEST, documentation_strings

MODULE = '''"""The first module: {0}, with more than forty characters."""
raise RuntimeError("this file was run")

class Thing:
    """A class with a text that is long enough to be kept.

        Its second paragraph is set in.
    """

    def method(self):
        """A method whose text is long enough to be kept here."""
        def inner():
            "An inner function, whose text is long enough as well."

    async def other(self): """Another method, asynchronous, long enough to be kept."""

def short(): """Too short."""

def copy(): """A method whose text is long enough to be kept here."""

if True:
    def conditional(): r"""A function behind a condition, with an \\escape in it."""

def broken(): """Half of a surrogate pair: \\ud800, which is no character."""
'''


def test_what_is_found_and_in_which_order(tmp_path):
    files = {
        "b.py": MODULE.format("b"),
        "a/x.py": MODULE.format("a/x"),
        "a/site-packages/y.py": MODULE.format("y"),
        "tests/z.py": MODULE.format("z"),
        "c.py": "def broken(:",
        "d.py": b'# coding: nonsense\n"""A module in an encoding that does not exist, long enough."""',
        "e.py": b'"""A module that is not UTF-8: gr\xfcn, and which is long enough."""',
        "f.py": b"\0",
        "g.pyi": '"""A file of another kind, whose text would be long enough."""',
        "h.py": "'\\d'\n" + '"""Not a docstring, for something stands before it."""',
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert list(documentation_strings([tmp_path, tmp_path / "a/site-packages"])) == [
        "The first module: b, with more than forty characters.",
        "A class with a text that is long enough to be kept.\n\nIts second paragraph is set in.",
        "A method whose text is long enough to be kept here.",
        "An inner function, whose text is long enough as well.",
        "Another method, asynchronous, long enough to be kept.",
        "A function behind a condition, with an \\escape in it.",
        "The first module: a/x, with more than forty characters.",
        "The first module: y, with more than forty characters.",
    ]


def test_this_machine_has_some(monkeypatch):
    first = list(itertools.islice(documentation_strings(), 300))
    assert len(first) == len(set(first)) == 300
    assert min(map(len, first)) >= SHORTEST
    assert first == list(itertools.islice(documentation_strings(), 300))
    library = offline_corpus._python_folders()[0]
    assert any(json.__doc__.strip()[:60] in text for text in documentation_strings([library / "json"]))
