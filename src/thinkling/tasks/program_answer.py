"""Answers that are programs: the code in an answer, and whether it passes the tests."""

from __future__ import annotations

import re

from thinkling.tasks.sandbox import run_tests

SECONDS = 5.0
"""Wall-clock time for a program and its tests."""
_LONGEST = 20_000
"""Characters of a program at most."""
_FENCED = re.compile(
    r"^[ \t]*```[ \t]*(?:python|py|python3)?[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.S | re.M | re.I
)


def program_of(text: str) -> str | None:
    """The program in an answer: its only fenced block, or the whole text where there is none.

    Returns:
        None where there is no program, several blocks, or an open one: an answer says one thing.
    """
    fences = text.count("```")
    if fences == 0:
        return text if text.strip() else None
    block = _FENCED.search(text) if fences == 2 else None
    return block[1] if block else None


def passes_tests(text: str, tests: str, *, seconds: float = SECONDS, memory_mb: int = 512) -> bool:
    """Whether the program in an answer passes tests.

    Raises:
        InputError: there are no tests, or a limit that cannot be.
    """
    program = program_of(text)
    if program is None or len(program) > _LONGEST:
        return False
    return run_tests(program, tests, seconds, memory_mb).passed
