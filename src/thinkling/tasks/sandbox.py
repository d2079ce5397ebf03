"""Run a program against its tests where neither can do harm, and where the program cannot answer for the tests.

    caller ──┬── process of the tests ── "ready", then the verdict ──> caller
             │        ▲ │ questions: call f(3), what is x?
             │        │ ▼ answers: plain data, references
             └── process of the program

The program never sees the text of the tests and never holds what the verdict is written to, so that nothing it does
to its own process (leaving it, patching the language, reading its memory, walking its frames, printing) can pass them.
That it ran to its end is told by a proof that is random, sent after it, and out of its reach.

Both processes are confined (`confined.jail`) and killed with all their descendants when the verdict is there or the
time is up. No signal handler and no global state: `run_tests` may be called from several threads at a time.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from thinkling.errors import InputError

STARTUP_SECONDS = 20.0
"""Wall-clock time that the processes may take to start, beside the time for the program."""
OUTPUT_LIMIT = 2**20
"""Bytes that a process may print."""
_LEAST_MEMORY = 16
_LONGEST_VERDICT = 65_536
_SOURCES = Path(__file__).parent
_START = """\
import sys, types
for name, path in (("thinkling", None), ("thinkling.tasks", None), ("thinkling.tasks.confined", {folder!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path] if path else []
from thinkling.tasks.confined.{module} import main
main({arguments})
"""
"""A process imports the folder `confined` alone: neither Thinkling's other modules nor installed packages are there."""

Role = Literal["program", "tests", "checker"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a program."""

    passed: bool
    """Whether the program and then the tests ran to their end without an exception, inside the limits."""
    reason: str
    """Why not; "passed" where it did."""


def run_tests(program: str, tests: str, seconds: float = 5.0, memory_mb: int = 512) -> Verdict:
    """Run a program and then its tests.

    The tests see the program's global names as if they stood below it. Arguments and results that are plain data are
    handed over as copies (a list that a call changes is changed), everything else by reference.

    Args:
        program: Python; the standard library is there, installed packages are not.
        tests: Python that raises an exception where the program is wrong.
        seconds: wall-clock time for both together, once the processes have started.
        memory_mb: memory for each beyond what Python itself takes.

    Raises:
        InputError: a limit that cannot be, or a system without process limits (Windows).
    """
    _check(program, tests, seconds, memory_mb)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thinkling-sandbox-"))
        job = {
            "folder": folder,
            "seconds": seconds,
            "memory_mb": memory_mb,
            "caller": os.getpid(),
            "proof": secrets.token_hex(16),
        }
        (answers, answer), (questions, question), (said, say) = (pipe(stack) for _ in range(3))
        judge = start_process(stack, "tests", folder, {**job, "tests": tests}, (answers, question, say))
        judged = start_process(stack, "program", folder, {**job, "program": program}, (questions, answer))
        # Only the processes themselves hold these ends, so that each notices when the other is gone.
        for end in (answers, answer, questions, question, say):
            end.close()
        return _watched(judge, judged, said, seconds)


def _check(program: object, tests: object, seconds: object, memory_mb: object) -> None:
    if os.name != "posix":
        raise InputError("the sandbox on this system", "Linux or macOS", "run it there, or in WSL")
    for name, text in (("program", program), ("tests", tests)):
        if not isinstance(text, str):
            raise InputError(f"{name} {type(text).__name__}", "a text", "give Python as a text")
    if not (isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0):
        raise InputError(f"seconds {seconds!r}", "more than 0", "give some seconds")
    if not (isinstance(memory_mb, int) and memory_mb >= _LEAST_MEMORY):
        raise InputError(f"memory_mb {memory_mb!r}", f"{_LEAST_MEMORY} or more", "give more memory")


def pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    """The reading and the writing end of a pipe, which no other process inherits."""
    source, sink = os.pipe()
    return stack.enter_context(FileIO(source, "r")), stack.enter_context(FileIO(sink, "w"))


def start_process(
    stack: ExitStack,
    role: Role,
    folder: str,
    job: dict[str, Any] | None,
    ends: tuple[FileIO, ...],
    *,
    quiet: bool = False,
) -> subprocess.Popen[bytes]:
    """A process that confines itself before anything of its job runs.

    Args:
        stack: where its end is prepared: the whole process group is killed, and waited for.
        role: which of `confined`'s processes.
        folder: an empty folder, where it begins.
        job: what it finds on standard input.
        ends: ends of pipes that it is given.
        quiet: whether what it prints is thrown away.
    """
    given = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
    stack.enter_context(given)
    given.write(json.dumps(job).encode("ascii"))
    given.seek(0)
    numbers = [end.fileno() for end in ends]
    start = _START.format(
        folder=str(_SOURCES / "confined"), module=f"{role}_process", arguments=", ".join(map(str, numbers))
    )
    process = subprocess.Popen(
        # No installed packages, no compiled files left behind; assertions are in force.
        [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", "-c", start],
        stdin=given,
        stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        # Nothing of the caller's. The order of sets of strings, and so what a program returns, is the same each time.
        env={"PYTHONHASHSEED": "0"},
        pass_fds=numbers,
        start_new_session=True,
    )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its group, and wait for it."""
    # The number of the group cannot have been given to another: its leader has not been waited for.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _watched(
    judge: subprocess.Popen[bytes], judged: subprocess.Popen[bytes], said: FileIO, seconds: float
) -> Verdict:
    """Wait for the verdict, for too much output, or for the end of the time."""
    deadline = time.monotonic() + STARTUP_SECONDS
    begun, text = False, b""
    printed = {judge.pid: 0, judged.pid: 0}
    with selectors.DefaultSelector() as selector:
        selector.register(said, selectors.EVENT_READ)
        for process in (judge, judged):
            assert process.stdout is not None, "it was asked for"
            selector.register(process.stdout, selectors.EVENT_READ, process.pid)
        while True:
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                if not begun:
                    return Verdict(passed=False, reason="the sandbox did not start in time")
                return Verdict(passed=False, reason=f"more than {seconds:g} seconds")
            for key, _ in ready:
                piece = os.read(key.fd, 65_536)
                if not piece:
                    selector.unregister(key.fileobj)
                if key.data is not None:
                    printed[key.data] += len(piece)
                    if printed[key.data] > OUTPUT_LIMIT:
                        return Verdict(passed=False, reason=f"more than {OUTPUT_LIMIT} bytes of output")
                    continue
                text += piece
                if text and not begun:
                    begun, deadline = True, time.monotonic() + seconds
                if not piece or len(text) > _LONGEST_VERDICT:
                    return _verdict(text, judged)


def _verdict(text: bytes, judged: subprocess.Popen[bytes]) -> Verdict:
    """What the process of the tests said; where it said nothing, it did not reach its end."""
    try:
        found = json.loads(text.removeprefix(b"ready\n"))
        passed, reason = found["passed"] is True, str(found["reason"])
    except (ValueError, KeyError, TypeError):
        return Verdict(passed=False, reason="the tests ended before their end")
    if not passed and reason.startswith("the program's process"):
        reason += _ending(judged)
    return Verdict(passed=passed, reason="passed" if passed else reason)


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in brackets; it is not waited for, so that its group keeps its number until it is killed."""
    deadline = time.monotonic() + 1.0
    while hasattr(os, "waitid") and time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is not None:
            exited = ended.si_code == os.CLD_EXITED
            code = ended.si_status
            return f" (exit code {code})" if exited else f" ({signal.Signals(code).name})"
        time.sleep(0.002)
    return ""
