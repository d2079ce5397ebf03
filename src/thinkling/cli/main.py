"""The command `thinkling`: find the command's module, parse, run, print, and leave with the right exit code.

The table below is static so that `thinkling --help` imports neither torch nor any command.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thinkling import __version__
from thinkling.cli import clock
from thinkling.errors import InputError, ThinklingError

if TYPE_CHECKING:
    from thinkling.cli.arguments import Subcommand, SubcommandGroup

TRACEBACK_VARIABLE = "THINKLING_TRACEBACK"


@dataclass(frozen=True)
class Command:
    """A row of the table of commands."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "demo": Command("demo", "make data, train a small HRM on this machine, watch it solve unseen puzzles"),
    "doctor": Command("doctor", "versions, devices, matrix product rates, threads, disk"),
    "data": Command("data", "make, import or check a data set"),
    "train": Command("train", "train a recipe, or go on with a run"),
    "eval": Command("eval", "score a run on a data set or a CSV file"),
    "solve": Command("solve", "solve a puzzle you type, or a file of them"),
    "fill": Command("fill", "fill the masked words of a text with a Thinking-BERT"),
    "classify": Command("classify", "say which class a text belongs to"),
    "encode": Command("encode", "turn texts into vectors with a Thinking-BERT"),
    "generate": Command("generate", "let a language model answer a prompt, with its reasoning"),
    "chat": Command("chat", "talk with a language model in the terminal"),
    "serve": Command("serve", "a web page and an HTTP interface for a run, on this machine only unless told"),
    "lm": Command(
        "lm", "plan a language model, train its tokenizer, clean its corpus, or all of it in minutes"
    ),
    "export": Command(
        "export", "write a model in another format, or as a page that thinks in the browser, and compare"
    ),
    "import": Command(
        "import_weights", "turn a checkpoint of another program (hrm, trm, hf) into a run folder"
    ),
    "bench": Command("bench", "measure speed: training, halting, generation, the server"),
}


@dataclass(frozen=True)
class Invocation:
    """A command line that has been parsed and not yet run."""

    run: Callable[[Any], Any]
    arguments: Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see the table of exit codes in the documentation)."""
    clock.start()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _main(words)
        sys.stdout.flush()
        return code
    except ThinklingError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped")
        return 130
    except BrokenPipeError:
        # The reader (`head`, a pager) has left. What is still buffered must not raise again at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            traceback.print_exc()
        else:
            _complain(f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)")
        return 1


def _main(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"thinkling {__version__}")
        return 0
    from thinkling.cli.arguments import HelpRequestedError
    from thinkling.cli.output import only_json, show
    from thinkling.nn.cpu_memory import keep_freed_memory

    try:
        invocation = parse(words)
    except HelpRequestedError as asked:
        print(asked.text, end="")
        return 0
    keep_freed_memory()
    as_json = bool(invocation.arguments.json)
    with only_json() if as_json else contextlib.nullcontext():
        return show(invocation.run(invocation.arguments), as_json)


def parse(words: Sequence[str]) -> Invocation:
    """Parse a command line (without the leading `thinkling`) and run nothing.

    Raises:
        InputError: an unknown command, an unknown flag or a bad value.
        HelpRequestedError: help was asked for.
    """
    from thinkling.cli.arguments import Subcommand, SubcommandGroup, unknown_word
    from thinkling.cli.arguments import parse as parse_arguments

    name, rest = words[0], list(words[1:])
    if name.startswith("-"):
        raise InputError(f"{name!r} before a command", "--help, --version", "flags come after the command")
    if name not in COMMANDS:
        raise unknown_word(f"unknown command {name!r}", name, COMMANDS, "see 'thinkling --help'")
    module = importlib.import_module(f"thinkling.cli.{COMMANDS[name].module}")
    prog, summary = f"thinkling {name}", COMMANDS[name].summary
    chosen: Subcommand | SubcommandGroup
    if hasattr(module, "SUBCOMMANDS"):
        chosen = SubcommandGroup(summary=summary, subcommands=module.SUBCOMMANDS)
    else:
        defaults = getattr(module, "defaults", None)
        chosen = Subcommand(arguments=module.Arguments, run=module.run, summary=summary, defaults=defaults)
    while isinstance(chosen, SubcommandGroup):
        word = _subcommand(prog, chosen.subcommands, rest)
        chosen, prog, rest = chosen.subcommands[word], f"{prog} {word}", rest[1:]
    default = chosen.defaults(rest) if chosen.defaults else None
    return Invocation(chosen.run, parse_arguments(chosen.arguments, rest, prog, default))


def _subcommand(prog: str, known: Mapping[str, Subcommand | SubcommandGroup], rest: Sequence[str]) -> str:
    """The known word that follows `prog`."""
    from thinkling.cli.arguments import HelpRequestedError, unknown_word

    if rest and rest[0] in ("-h", "--help"):
        raise HelpRequestedError(_listing(prog, {word: entry.summary for word, entry in known.items()}))
    see_help = f"see '{prog} --help'"
    if not rest:
        raise InputError(f"'{prog}' alone", f"{prog} {'|'.join(known)}", see_help)
    if rest[0] not in known:
        raise unknown_word(f"unknown subcommand '{prog} {rest[0]}'", rest[0], known, see_help)
    return rest[0]


def overview() -> str:
    """What `thinkling --help` prints."""
    return (
        "Small models that think.\n\n"
        + _listing("thinkling", {name: command.summary for name, command in COMMANDS.items()})
        + "\n'thinkling COMMAND --help' lists a command's flags; '--json' makes it print one JSON object."
    )


def _listing(prog: str, summaries: Mapping[str, str]) -> str:
    width = max(map(len, summaries))
    rows = "".join(f"  {name:<{width}}  {summary}\n" for name, summary in summaries.items())
    return f"usage: {prog} COMMAND ...\n\n{rows}"


def _complain(message: str) -> None:
    """One line on standard error, whatever the message holds."""
    print(f"thinkling: {' '.join(message.split())}", file=sys.stderr)
