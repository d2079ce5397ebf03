"""The benchmark of the server loses no answer and knows what it has measured."""

from __future__ import annotations

import pytest
from small_puzzles import knowing_model, puzzles

from thinkling.errors import InputError
from thinkling.serving import benchmark
from thinkling.serving.benchmark import bench_serve
from thinkling.serving.load_clients import Load


def test_clients_get_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_LEAST_OFFLINE_SECONDS", 0.1)
    report = bench_serve(knowing_model(), puzzles(20), clients=8, seconds=1, slots=8)
    assert report["requests"] == report["verified"] > 20
    assert (report["errors"], report["lost"], report["changed"]) == (0, 0, 0)
    assert 0 < report["latency"]["median"] <= report["latency"]["p95"] <= report["latency"]["longest"]
    speed = report["throughput"]
    assert speed["ratio"] == pytest.approx(speed["server"] / speed["offline"], abs=0.01)
    assert report["hardware"]["cores"] >= 1


def test_what_goes_wrong_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_LEAST_OFFLINE_SECONDS", 0.1)
    report = bench_serve(knowing_model(), puzzles(5), clients=2, seconds=0.3, options={"steps": -1})
    assert report["errors"] == report["lost"] == report["requests"] > 0
    assert "steps -1" in report["first_error"]
    load = Load(sent=3, answered=[(0, "verified", "1"), (1, "unsolved", "2")], latencies=[1, 2], seconds=2)
    summary = benchmark._report(load, ["verified", "verified"], offline=4)
    assert (summary["lost"], summary["changed"], summary["throughput"]["ratio"]) == (1, 1, 0.25)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"clients": 0}, "0 clients"), ({"slots": 0}, "0 slots"), ({"seconds": 0}, "0 seconds")],
)
def test_bad_settings_are_named(changes: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench_serve(knowing_model(), puzzles(1), **changes)
    with pytest.raises(InputError, match="0 puzzles"):
        bench_serve(knowing_model(), [])
