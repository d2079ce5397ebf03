"""The benchmark runs both sides, and both say the same."""

from __future__ import annotations

import shutil

import pytest

from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.generation_benchmark import bench_generation


@pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
        ),
    ],
)
def test_both_sides_say_the_same(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    small = DecoderConfig(
        vocab_size=300,
        max_length=64,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        inner_size=48,
    )
    monkeypatch.setattr("thinkling.lm.generation_benchmark.preset", lambda name: small)
    told = bench_generation(
        "tiny",
        sequences=3,
        prompt_tokens=5,
        new_tokens=6,
        repeats=1,
        device="cpu",
        compute_dtype="float32",
        kernels="on" if compiled else "off",
    )
    assert told["compiled"] is compiled
    assert told["same_tokens"] == 1.0
    assert told["speedup"] > 0
    assert (told["dtype"], told["transformers_dtype"]) == ("float32", "float32")


def test_a_count_below_one() -> None:
    with pytest.raises(InputError, match="new_tokens 0"):
        bench_generation("1m", new_tokens=0)
