"""Fused kernels: equal to plain operations in Triton's interpreter, never in anybody's way where there is no Triton."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thinkling.errors import InputError
from thinkling.nn import fused
from thinkling.nn.feed_forward import gated
from thinkling.nn.norm import add_rms_norm, rms_norm

HERE = Path(__file__).parent
CPU = torch.device("cpu")
CHECKS = [
    line.split("(")[0].removeprefix("def check_")
    for line in (HERE / "interpreted_kernels.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("def check_")
]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed; on Linux the dev extra has it (pip install triton)",
)


@pytest.fixture(scope="module")
def found() -> dict[str, str | None]:
    """What went wrong in each check; None: nothing."""
    done = subprocess.run(
        [sys.executable, str(HERE / "interpreted_kernels.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, str | None] = json.loads(done.stdout)
    return made


@needs_triton
@pytest.mark.parametrize("check", CHECKS)
def test_in_the_interpreter(check: str, found: dict[str, str | None]) -> None:
    assert found[check] is None, found[check]


@needs_triton
@pytest.mark.slow
def test_kernels_become_programs_for_gpus(tmp_path: Path) -> None:
    """The interpreter does not know what a GPU can do: registers, and loads of 16 bytes."""
    done = subprocess.run(
        [sys.executable, str(HERE / "kernels_for_gpus.py")],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    programs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(programs) == 20
    for program in programs:
        assert program["spilled"] == 0, program
        assert program["widest_load"] == program["widest_store"] == 16, program


def test_residual_and_norm() -> None:
    one, other = torch.linspace(-1, 3, 24).view(2, 3, 4), torch.linspace(2, 1, 24).view(2, 3, 4)
    for dim in (1, -1):
        expected = rms_norm(one + other, 1e-5, dim=dim)
        torch.testing.assert_close(add_rms_norm(one.clone(), other, 1e-5, dim=dim), expected, rtol=0, atol=0)


def test_a_cpu_works_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    fused.fault_on.cache_clear()
    with fused.fused_kernels("auto", CPU) as used:
        assert not used
        assert not fused.wanted(torch.ones(2, 3))
    with (
        pytest.raises(InputError, match=r"fused kernels on cpu \(not a GPU.*a GPU, Triton.*train\.fused"),
        fused.fused_kernels("on", CPU),
    ):
        pass


def test_no_triton_is_no_harm() -> None:
    program = (
        "import os, sys, torch\n"
        "sys.modules['triton'] = None\n"
        "os.environ['TRITON_INTERPRET'] = '1'\n"
        "from thinkling.nn import fused\n"
        "print(fused.fault_on(torch.device('cpu')))\n"
        "with fused.fused_kernels('auto', torch.device('cpu')) as used: print(used)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["Triton is not installed, or cannot be imported", "False"]


def test_a_choice_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "fault_on", lambda device: None)
    x = torch.ones(2, 3)
    with fused.fused_kernels("on", CPU):
        assert fused.wanted(x)
        with fused.fused_kernels("off", CPU):
            assert not fused.wanted(x)
        assert fused.wanted(x)
    assert not fused.wanted(x)
    with pytest.raises(ZeroDivisionError), fused.fused_kernels("on", CPU):
        raise ZeroDivisionError
    assert not fused.wanted(x)


def test_a_compiled_program_is_made_of_plain_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler fuses them itself, together with what is around them."""

    def never(*tensors: object, **_: object) -> None:
        raise AssertionError("a kernel")

    monkeypatch.setattr(fused, "fault_on", lambda device: None)
    monkeypatch.setattr(fused, "add_rms_norm", never)
    monkeypatch.setattr(fused, "gated", never)
    monkeypatch.setattr(fused, "norm_fits", lambda x, dim: True)
    one, other = torch.linspace(-1, 1, 12).view(3, 4), torch.linspace(1, 2, 12).view(3, 4)

    def both(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return add_rms_norm(gated(one, other), other, 1e-5)

    expected = both(one.clone(), other)
    with fused.fused_kernels("on", CPU):
        compiled = torch.compile(both, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(one.clone(), other), expected)
        with pytest.raises(AssertionError, match="a kernel"):
            both(one.clone(), other)
