"""The frame of the command line: help, dispatch, messages, exit codes, JSON."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import tyro

from thinkling.cli import main as frame
from thinkling.cli.arguments import CommandArguments, HelpRequestedError, Subcommand, rows_and_columns
from thinkling.cli.output import Report, write_json
from thinkling.errors import InputError, UnverifiedError


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Settings inside settings."""

    rate: float = 0.1
    """A rate."""
    pair: tuple[int, int] = (1, 2)
    """Two whole numbers."""

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise InputError(f"rate {self.rate}", "0 or more", "raise it")


@dataclass(frozen=True, kw_only=True)
class FakeArguments(CommandArguments):
    """Do something."""

    word: tyro.conf.Positional[str]
    """A word."""
    out: Path
    """Where to."""
    halt: Literal["q", "valid", "never"] = "q"
    """When to halt."""
    max_steps: int = 16
    """How many steps at most."""
    inner: Inner = field(default_factory=Inner)
    """More settings."""


def _raise(error: BaseException) -> None:
    raise error


def act(arguments: FakeArguments) -> object:
    """What the fake command does, by its word."""
    actions = {
        "ok": lambda: {
            "word": arguments.word,
            "out": arguments.out,
            "rate": np.float32(0.5),
            "lost": float("nan"),
        },
        "report": lambda: Report(values={"a": 1}, text="for a person", exit_code=2),
        "code": lambda: 4,
        "chatty": lambda: print("noise") or {"quiet": True},
        "input": lambda: _raise(InputError("row 3", "digits", "fix\nit")),
        "unverified": lambda: _raise(UnverifiedError("none found")),
        "bug": lambda: _raise(ZeroDivisionError("by nothing")),
        "interrupt": lambda: _raise(KeyboardInterrupt()),
        "pipe": lambda: _raise(BrokenPipeError()),
        "stream": lambda: [write_json({"n": n}) for n in range(2)] and 0,
    }
    return actions[arguments.word]()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `fake` and a command `several` with a subcommand `go`."""
    go = Subcommand(arguments=FakeArguments, run=act, summary="go")
    monkeypatch.setitem(sys.modules, "thinkling.cli.fake", SimpleNamespace(Arguments=FakeArguments, run=act))
    monkeypatch.setitem(sys.modules, "thinkling.cli.several", SimpleNamespace(SUBCOMMANDS={"go": go}))
    table = {name: frame.Command(name, f"the {name} command") for name in ("fake", "several")}
    monkeypatch.setattr(frame, "COMMANDS", table)


def fails(capsys: pytest.CaptureFixture[str], words: str, code: int) -> str:
    """Run a command line that must fail with `code` and exactly one line on standard error."""
    assert frame.main(words.split()) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("thinkling: ")
    return captured.err


def test_help_is_quick_and_leaves_torch_alone() -> None:
    """Under 0.5 s (best of five, for the machine may be busy), and neither torch nor numpy is imported."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "thinkling", "--help"], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    assert best < 0.5
    program = (
        "import sys; from thinkling.cli.main import main; main(['--help']);"
        "sys.exit(bool({'torch', 'numpy', 'tyro', 'rich'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_overview_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(words) == 0
    printed = capsys.readouterr().out
    for name, command in frame.COMMANDS.items():
        assert f"  {name} " in printed
        assert command.summary in printed


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([name, "--help"]) == 0
    assert f"usage: thinkling {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("thinkling 0.")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("fakee", ["'fakee'", "did you mean 'fake'?"]),
        ("zzz", ["'zzz'", "fake, several", "thinkling --help"]),
        ("--json fake", ["'--json' before a command", "come after"]),
        ("several", ["'thinkling several' alone", "thinkling several go"]),
        ("several goo", ["several goo", "did you mean 'go'?"]),
        ("fake x --ot y", ["'--ot'", "did you mean '--out'?", "thinkling fake --help"]),
        ("fake x --max-stepz=3", ["'--max-stepz'", "did you mean '--max-steps'?"]),
        ("fake x --qqqqqqq 3", ["'--qqqqqqq'", "--out, --halt, --max-steps, --inner.rate, --inner.pair"]),
        ("fake x --out y --max-steps many", ["--max-steps 'many'", "a whole number"]),
        ("fake x --out y --max_steps=many", ["--max-steps 'many'", "a whole number"]),
        ("fake x --out y --inner.rate fast", ["--inner.rate 'fast'", "a number"]),
        ("fake x --out y --inner.rate -1", ["rate -1.0; allowed: 0 or more; raise it"]),
        ("fake x --out y --inner.pair 1 b", ["--inner.pair '1 b'", "a whole number a whole number"]),
        ("fake x --out y --halt vaild", ["--halt 'vaild'", "q, valid, never", "did you mean 'valid'?"]),
        ("fake x --out y --max-steps", ["--max-steps without a value", "a whole number"]),
        ("fake x", ["'thinkling fake' without --out PATH"]),
        ("fake x extra --out y", ["unexpected 'extra'"]),
        ("several go x --outt y", ["'--outt' for 'thinkling several go'", "did you mean '--out'?"]),
    ],
)
def test_a_mistyped_command_line_is_answered_in_one_line(
    words: str, parts: list[str], fake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    message = fails(capsys, words, 2)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("input", 2, "thinkling: row 3; allowed: digits; fix it\n"),
        ("unverified", 3, "thinkling: none found\n"),
        ("bug", 1, "thinkling: ZeroDivisionError: by nothing (set THINKLING_TRACEBACK=1 to see where)\n"),
        ("interrupt", 130, "thinkling: stopped\n"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    word: str, code: int, message: str, fake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in ("", " --json"):
        assert fails(capsys, f"fake {word} --out y{ending}", code) == message


def test_a_traceback_can_be_asked_for(
    fake: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(frame.TRACEBACK_VARIABLE, "1")
    assert frame.main(["fake", "bug", "--out", "y"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_causes_no_complaint(fake: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["fake", "pipe", "--out", "y"]) == 1
    assert capsys.readouterr().err == ""


def test_json_is_one_object_and_nothing_else(fake: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["fake", "ok", "--out", "y", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"word": "ok", "out": "y", "rate": 0.5, "lost": None}
    assert captured.out.count("\n") == 1
    assert captured.err == ""


def test_json_sends_noise_to_standard_error(fake: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["fake", "chatty", "--out", "y", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"quiet": True}
    assert captured.err == "noise\n"


def test_json_holds_below_python_too() -> None:
    """What a child process or a C library writes to descriptor 1 must not get between the JSON."""
    program = (
        "import os, subprocess\n"
        "from thinkling.cli.output import only_json, write_json\n"
        "with only_json():\n"
        "    os.write(1, b'from C\\n'); subprocess.run(['echo', 'from a child']); print('from Python')\n"
        "    write_json({'a': 1})\n"
        "print('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == '{"a": 1}\nafter\n'
    assert sorted(done.stderr.split("\n")) == ["", "from C", "from Python", "from a child"]


def test_a_stream_prints_one_object_a_line(fake: None, capsys: pytest.CaptureFixture[str]) -> None:
    for ending in ([], ["--json"]):
        assert frame.main(["fake", "stream", "--out", "y", *ending]) == 0
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 0}, {"n": 1}]


def test_a_person_sees_a_table_or_the_command_s_own_text(
    fake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.main(["fake", "ok", "--out", "y"]) == 0
    assert capsys.readouterr().out.split() == ["word", "ok", "out", "y", "rate", "0.5", "lost", "–"]
    assert frame.main(["fake", "report", "--out", "y"]) == 2
    assert capsys.readouterr().out == "for a person\n"
    assert frame.main(["fake", "report", "--out", "y", "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    assert frame.main(["fake", "code", "--out", "y"]) == 4


def test_help_of_a_command_names_every_flag(fake: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["fake", "--help"]) == 0
    printed = capsys.readouterr().out
    for flag in ("--out", "--halt", "--max-steps", "--inner.rate", "--json"):
        assert flag in printed
    assert frame.main(["several", "--help"]) == 0
    assert "go" in capsys.readouterr().out


def test_parse_runs_nothing(fake: None) -> None:
    invocation = frame.parse(["fake", "bug", "--out", "y", "--inner.rate", "2"])
    assert invocation.arguments.inner == Inner(rate=2.0)
    with pytest.raises(HelpRequestedError, match="--out"):
        frame.parse(["fake", "--help"])


def test_defaults_may_follow_a_positional_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` takes its defaults from the recipe that the first word names."""

    def defaults(words: Sequence[str]) -> FakeArguments | None:
        return FakeArguments(word="", out=Path("runs"), max_steps=3) if "small" in words else None

    module = SimpleNamespace(Arguments=FakeArguments, run=act, defaults=defaults)
    monkeypatch.setitem(sys.modules, "thinkling.cli.fake", module)
    monkeypatch.setattr(frame, "COMMANDS", {"fake": frame.Command("fake", "")})
    assert frame.parse(["fake", "small"]).arguments == FakeArguments(
        word="small", out=Path("runs"), max_steps=3
    )
    assert frame.parse(["fake", "small", "--max-steps", "5"]).arguments.max_steps == 5


def test_rows_and_columns_are_two_numbers():
    assert rows_and_columns("--shape", "9x10") == (9, 10)
    for bad in ("9", "9x", "x9", "9x9x9", "0x4", "3 x 3", "-3x3", "threexthree"):
        with pytest.raises(InputError, match="rows x columns"):
            rows_and_columns("--shape", bad)
