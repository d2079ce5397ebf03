"""Hostile programs are run where everything they could leave behind would be seen."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from thinkling.tasks.sandbox import Verdict, run_tests

Run = Callable[..., Verdict]
SLACK = 3.0
"""Seconds that starting and cleaning up may take on a busy machine."""


def working_in(folder: Path) -> list[str]:
    """Processes whose working folder is this one or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if place.startswith(str(folder)):
            found.append(process.name)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program: within its limit, and no process, thread, descriptor or file is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("THINKLING_SECRET", "not for programs")

    def ran(program: str, tests: str, *, seconds: float = 1.0, memory_mb: int = 128) -> Verdict:
        kept = tmp_path / "kept.txt"
        kept.write_text("as it was", encoding="utf-8")
        threads, descriptors = threading.active_count(), len(os.listdir("/dev/fd"))
        begun = time.monotonic()
        verdict = run_tests(program, tests, seconds=seconds, memory_mb=memory_mb)
        assert time.monotonic() - begun < seconds + SLACK
        assert not working_in(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
        assert kept.read_text(encoding="utf-8") == "as it was"
        assert threading.active_count() == threads
        assert len(os.listdir("/dev/fd")) == descriptors
        return verdict

    return ran
