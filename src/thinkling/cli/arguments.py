"""A command's arguments: a frozen dataclass in, its flags and help out, and one line when the user mistypes.

A command is a module `thinkling.cli.<name>` with

- `Arguments`, a frozen keyword-only dataclass derived from `CommandArguments` whose attribute docstrings become
  the help, and `run(arguments)`;
- or `SUBCOMMANDS`, a mapping from a word to a `Subcommand` that holds the same two things, or to a `SubcommandGroup`;
- and, where the fields or defaults depend on a positional word (a recipe), `defaults(words)`, which returns
  the `Arguments` instance to start from.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from thinkling.errors import InputError, nearest

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path", "STR": "a text"}
_FLAG_IN_HELP = re.compile(r"^[│|\s]*(?:-\w, )?(--[\w.-]+(?:, --[\w.-]+)*)(?: +(\S.*?))?[│|\s]*$", re.M)
_BAD_CHOICE = re.compile(r"invalid choice '(.*?)' for argument '?(.*?)'?\. Expected one of \((.*?),?\)")


@dataclass(frozen=True, kw_only=True)
class CommandArguments:
    """What every command takes."""

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output and everything else on standard error."""


@dataclass(frozen=True, kw_only=True)
class Subcommand:
    """One word after a command that has several jobs, such as `make` in `thinkling data make`."""

    arguments: type[CommandArguments]
    """The dataclass its arguments are parsed into."""
    run: Callable[[Any], Any]
    """The function that takes the parsed arguments."""
    summary: str
    """One line for the list of subcommands."""
    defaults: Callable[[Sequence[str]], CommandArguments | None] | None = None
    """Given the words after the subcommand, the instance that holds the defaults."""


@dataclass(frozen=True, kw_only=True)
class SubcommandGroup:
    """A word that is followed by another one, such as `make` in `thinkling data make sudoku`."""

    summary: str
    """One line for the list of subcommands."""
    subcommands: Mapping[str, Subcommand | SubcommandGroup]
    """What may follow."""


class HelpRequestedError(Exception):
    """The user asked for help; `text` is what to print."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def parse(
    arguments: type[CommandArguments],
    words: Sequence[str],
    prog: str,
    default: CommandArguments | None = None,
) -> CommandArguments:
    """Parse the words after a command.

    Args:
        arguments: the dataclass to fill; ignored where `default` is given.
        words: what the user typed after the command.
        prog: the command as typed, for example `thinkling data make`.
        default: an instance that holds the defaults.

    Raises:
        InputError: an unknown flag, a missing or a malformed value.
        HelpRequestedError: `--help` is among the words.
    """
    wanted = arguments if default is None else type(default)
    start = tyro.MISSING_NONPROP if default is None else default
    printed, complained = _Capture(), _Capture()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            return tyro.cli(wanted, args=list(words), prog=prog, default=start)
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise HelpRequestedError(printed.getvalue()) from None
        flags = _flags(wanted, prog, start)
        raise _explained(list(words), prog, flags, complained.getvalue()) from None


class _Capture(io.StringIO):
    """Text in memory that claims to be UTF-8, so that tyro always draws the same boxes."""

    encoding = "utf-8"


def _flags(wanted: type[CommandArguments], prog: str, start: Any) -> dict[str, str]:
    """Every flag of a command with the value it takes (empty for a switch), read from its help."""
    printed = _Capture()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(wanted, args=["--help"], prog=prog, default=start)
    flags: dict[str, str] = {}
    for names, value in _FLAG_IN_HELP.findall(printed.getvalue()):
        for name in names.split(", "):
            # The description follows on the same line when it fits, two spaces apart.
            flags[name] = "" if ", " in names else re.split(r"\s{2,}", value)[0]
    return flags


def _explained(words: list[str], prog: str, flags: dict[str, str], complaint: str) -> InputError:
    """One line for what tyro says in a box."""
    see_help = f"see '{prog} --help'"
    for word in words[: words.index("--")] if "--" in words else words:
        name = word.split("=")[0]
        if name.startswith("--") and name.replace("_", "-") not in flags:
            return unknown_word(f"unknown flag {name!r} for '{prog}'", name, flags, see_help)
    folded = _unboxed(complaint)
    if match := re.search(r"Error parsing (--[\w.-]+): ", folded):
        flag = match[1]
        return InputError(f"{flag} {_value_of(flag, words)}", _kind(flags.get(flag, "")), see_help)
    if match := _BAD_CHOICE.search(folded):
        choices = [choice.strip(" '\"") for choice in match[3].split(",")]
        return InputError(f"{match[2]} {match[1]!r}", ", ".join(choices), nearest(match[1], choices))
    if match := re.search(r"Missing value for argument '(.*?)'", folded):
        return InputError(f"{match[1]} without a value", _kind(flags.get(match[1], "")), see_help)
    if match := re.search(r"^Missing from .*?: (.*?)\(required\)", folded):
        return InputError(f"'{prog}' without {match[1].strip()}", "a value for it", see_help)
    if match := re.search(r"^Unrecognized options: (.*)", folded):
        return InputError(f"unexpected {match[1]!r} after '{prog}'", "the arguments in its help", see_help)
    return InputError(folded, "the arguments in its help", see_help)


def rows_and_columns(flag: str, text: str) -> tuple[int, int]:
    """`9x9` as rows and columns.

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text.lower())
    if match is None:
        raise InputError(f"{flag} {text!r}", "rows x columns, such as 9x9", "give both")
    return int(match[1]), int(match[2])


def unknown_word(given: str, word: str, known: Iterable[str], see_help: str) -> InputError:
    """The error for a mistyped word: the nearest known one, or all of them where none is near."""
    hint = nearest(word, known)
    if hint.startswith("did you mean"):
        return InputError(given, "what the help lists", f"{hint} ({see_help})")
    return InputError(given, ", ".join(known), see_help)


def _unboxed(complaint: str) -> str:
    """The first part of a boxed message, without the box, as one line."""
    lines = [line.strip("│|╭╮╰╯ ") for line in complaint.splitlines() if line.strip()]
    body: list[str] = []
    for line in lines:
        if line.startswith(("─", "-" * 8)) or line.endswith("─"):
            if body:
                break
            continue
        body.append(line)
    return " ".join(body) or "the arguments could not be read"


def _kind(value: str) -> str:
    return " ".join(_KINDS.get(word, word) for word in value.split()) or "a value"


def _value_of(flag: str, words: list[str]) -> str:
    """What the user gave for a flag, quoted."""
    for place, word in enumerate(words):
        name, separator, value = word.partition("=")
        if name.replace("_", "-") != flag:
            continue
        if separator:
            return repr(value)
        given: list[str] = []
        for following in words[place + 1 :]:
            if following.startswith("--"):
                break
            given.append(following)
        return repr(" ".join(given))
    return "as given"
