"""The benchmark of the server loses no answer and knows what it has measured."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from small_puzzles import knowing_model, puzzles

from thinkling.errors import InputError
from thinkling.serving import benchmark
from thinkling.serving.benchmark import bench_serve
from thinkling.serving.load_clients import Load, run_clients


def test_clients_get_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_LEAST_OFFLINE_SECONDS", 0.1)
    report = bench_serve(knowing_model(), puzzles(20), clients=8, seconds=1, slots=8)
    assert report["requests"] == report["puzzles"] == report["verified"] > 20
    assert report["distinct"] == 20
    assert (report["errors"], report["lost"], report["changed"]) == (0, 0, 0)
    assert 0 < report["latency"]["median"] <= report["latency"]["p95"] <= report["latency"]["longest"]
    speed = report["throughput"]
    assert speed["ratio"] == pytest.approx(speed["server"] / speed["offline"], abs=0.01)
    assert report["hardware"]["cores"] >= 1
    assert 1 <= report["slots_in_work"] <= 8
    assert set(report["cpu_ms"]) == {"offline", "server", "clients"}
    assert all(value > 0 for value in report["cpu_ms"].values())


@pytest.mark.parametrize("per_request", [3, 5])  # one divides the number of puzzles, one does not
def test_several_puzzles_of_a_request_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, per_request: int
) -> None:
    """`changed` compares each answer with what the model says of that very puzzle: some are solved, some are not."""
    monkeypatch.setattr(benchmark, "_LEAST_OFFLINE_SECONDS", 0.1)
    model = knowing_model(needed=lambda tokens: 1 if int(tokens[:4].sum()) % 2 else 99)
    report = bench_serve(
        model, puzzles(20), clients=3, seconds=0.5, slots=8, per_request=per_request, thinkers=2
    )
    assert report["puzzles"] == per_request * report["requests"]
    assert (report["errors"], report["lost"], report["changed"]) == (0, 0, 0)
    assert 0 < report["verified"] < report["puzzles"]


def test_what_goes_wrong_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_LEAST_OFFLINE_SECONDS", 0.1)
    report = bench_serve(knowing_model(), puzzles(5), clients=2, seconds=0.3, options={"steps": -1})
    assert report["errors"] == report["lost"] == report["requests"] > 0
    assert "steps -1" in report["first_error"]
    load = Load(
        requests=3,
        sent=3,
        answered=[(0, "verified", "1"), (1, "unsolved", "2")],
        latencies=[1, 2],
        seconds=2,
        cpu_seconds=1,
    )
    offline = benchmark._Speed(wall=0.25, cpu=0.5)
    summary = benchmark._report(load, ["verified", "verified"], offline, server_cpu=3)
    assert (summary["lost"], summary["changed"], summary["throughput"]["ratio"]) == (1, 1, 0.25)
    assert summary["cpu_ms"] == {"offline": 500, "server": 1500, "clients": 500}


def test_a_server_that_hangs_up_is_an_error() -> None:
    """It answers the first request and closes the connection in the middle of its second answer."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"
    body = b'{"results": [{"status": "verified", "answer": "1234"}]}'.ljust(64)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10_000)
            for piece in (whole[:10], whole[10:] + body[:5], body[5:]):
                connection.sendall(piece)
                time.sleep(0.02)
            connection.recv(10_000)
            connection.sendall(whole + body[:5])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        host, port = listener.getsockname()
        load = run_clients(host, port, ["12.."], clients=1, seconds=5, options={})
        server.join()
    assert (load.requests, load.answered) == (2, [(0, "verified", "1234")])
    assert len(load.errors) == 1
    assert "connection" in load.errors[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clients": 0}, "0 clients"),
        ({"slots": 0}, "0 slots"),
        ({"seconds": 0}, "0 seconds"),
        ({"per_request": 0}, "0 per_request"),
        ({"thinkers": -1}, "thinkers -1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench_serve(knowing_model(), puzzles(1), **changes)
    with pytest.raises(InputError, match="0 puzzles"):
        bench_serve(knowing_model(), [])
