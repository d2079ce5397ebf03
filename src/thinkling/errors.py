"""What we say when something is wrong.

Every error a user can cause carries three parts: what was given, what is allowed, and what to do next. The command
line prints them as one line on standard error and leaves with the error's exit code. `assert` is for our own mistakes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThinklingError(Exception):
    """Base of every error that the command line reports as one line instead of a traceback."""

    exit_code = 1


class InputError(ThinklingError):
    """Bad usage or bad input.

    Args:
        given: what was given, with the place (file, row, cell) where there is one.
        allowed: what would have been accepted.
        next_step: what the user can do now.
    """

    exit_code = 2

    def __init__(self, given: str, allowed: str, next_step: str) -> None:
        super().__init__(f"{given}; allowed: {allowed}; {next_step}")
        self.given = given
        self.allowed = allowed
        self.next_step = next_step

    def at(self, place: str) -> InputError:
        """The same error with the place (file, line) where it was met."""
        return InputError(f"{place}: {self.given}", self.allowed, self.next_step)


class UnverifiedError(ThinklingError):
    """A verified answer was asked for and none was found."""

    exit_code = 3


class TrainingStoppedError(ThinklingError):
    """Training could not go on without risking the weights; the last good checkpoint is on disk."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice most alike to `word`, as a hint for an error message ("did you mean …?"), or all choices."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"
