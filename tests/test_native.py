"""The package's C++ where there is no compiler for it: a word that says so."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from thinkling import native


def test_where_nothing_can_be_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No compiler, one that is named and missing, and one that only complains: the first line says which."""
    complaining = tmp_path / "compiler"
    complaining.write_text("#!/bin/sh\necho 'no such header' >&2\nexit 1\n")
    complaining.chmod(complaining.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(native, "_COMPILERS", ())
    for compiler, why in (
        ("", r"no C\+\+ compiler"),
        ("not-installed-anywhere -v", ".*No such file.*"),
        (str(complaining), "no such header"),
    ):
        monkeypatch.setenv("CXX", compiler)
        with pytest.raises(
            native.NotCompiledError, match=rf"--compile on this machine \({why}\).*install one"
        ):
            native.library.__wrapped__(tmp_path / "source.cpp")
