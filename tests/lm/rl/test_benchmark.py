"""The benchmark beside TRL's trainer: our side alone, both where TRL is installed, and what is refused."""

from __future__ import annotations

import shutil
import sys

import pytest

from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.rl.benchmark import bench_grpo

SMALL = {"prompts": 2, "group_size": 2, "prompt_tokens": 5, "new_tokens": 6, "rounds": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DecoderConfig(
        vocab_size=300,
        max_length=64,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        inner_size=48,
    )
    monkeypatch.setattr("thinkling.lm.rl.benchmark.preset", lambda name: config)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_our_side_with_compiled_kernels() -> None:
    told = bench_grpo("tiny", **SMALL, ours_only=True, compile=True)  # type: ignore[arg-type]  # a test's
    assert told["steps_per_minute"] > 0
    assert told["compiled"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kl_beta", [0.0, 0.01])
def test_our_side(dtype: str, kl_beta: float) -> None:
    told = bench_grpo("tiny", **SMALL, ours_only=True, kl_beta=kl_beta, compute_dtype=dtype)  # type: ignore[arg-type]  # a test's
    assert told["steps_per_minute"] > 0
    assert told["dtype"] == dtype
    assert told["trl_steps_per_minute"] is told["ratio"] is None


@pytest.mark.filterwarnings("default")  # TRL's own
def test_both_sides() -> None:
    pytest.importorskip("trl")
    told = bench_grpo("tiny", **SMALL)  # type: ignore[arg-type]  # a test's
    assert told["ratio"] == pytest.approx(told["steps_per_minute"] / told["trl_steps_per_minute"], rel=0.01)


def test_without_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="pip install trl"):
        bench_grpo("tiny", **SMALL)  # type: ignore[arg-type]  # a test's


@pytest.mark.parametrize("change", [{"rounds": 0}, {"new_tokens": 60}, {"prompts": 0}])
def test_what_cannot_be(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match="64 tokens together"):
        bench_grpo("tiny", **SMALL | change)  # type: ignore[arg-type]  # a test's


def test_groups_of_one() -> None:
    with pytest.raises(InputError, match="group_size"):
        bench_grpo("tiny", **SMALL | {"group_size": 1})  # type: ignore[arg-type]  # a test's
