"""What importing does (nothing) and who may import whom."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=ROOT
    )


def test_importing_every_module_prints_nothing_and_starts_nothing(tmp_path: Path) -> None:
    """No print, no device, no thread, no file, no draw from the global generators."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib, pkgutil, sys, threading\n"
            "import torch, numpy\n"
            "before = torch.random.get_rng_state(), numpy.random.get_state()[1].copy()\n"
            "import thinkling\n"
            "for found in pkgutil.walk_packages(thinkling.__path__, 'thinkling.'):\n"
            "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
            "assert not torch.cuda.is_initialized()\n"
            "assert torch.equal(before[0], torch.random.get_rng_state())\n"
            "assert (before[1] == numpy.random.get_state()[1]).all()\n"
            "assert threading.active_count() == 1, threading.enumerate()\n",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_package_imports_without_torch() -> None:
    done = python(
        "import sys, thinkling; thinkling.__version__, dir(thinkling); assert 'torch' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_public_names_resolve() -> None:
    import thinkling

    for name in thinkling.__all__:
        assert getattr(thinkling, name)
    with pytest.raises(AttributeError, match=r"lode.*load"):
        _ = thinkling.lode  # type: ignore[attr-defined]  # that it is missing is the point


def test_imports_point_down_only() -> None:
    """The contract in pyproject.toml: rooms on one level do not import each other, tasks do without torch."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
