"""Numbers in Prometheus' text format."""

from __future__ import annotations

import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from thinkling.serving.metrics import Metrics, RequestMetrics


def test_instruments_are_written_as_a_scraper_reads_them() -> None:
    metrics = Metrics()
    answered = metrics.counter("answers_total", "Answers.", ("status",))
    metrics.gauge("slots", "Slots.", lambda: 3)
    seconds = metrics.histogram("seconds", "Time.", (0.1, 1))
    answered.add("good")
    answered.add("bad", count=2)
    for value in (0.05, 0.1, 0.5, 7):
        seconds.observe(value)
    assert metrics.text().splitlines() == [
        "# HELP thinkling_answers_total Answers.",
        "# TYPE thinkling_answers_total counter",
        'thinkling_answers_total{status="bad"} 2',
        'thinkling_answers_total{status="good"} 1',
        "# HELP thinkling_slots Slots.",
        "# TYPE thinkling_slots gauge",
        "thinkling_slots 3",
        "# HELP thinkling_seconds Time.",
        "# TYPE thinkling_seconds histogram",
        'thinkling_seconds_bucket{le="0.1"} 2',
        'thinkling_seconds_bucket{le="1"} 3',
        'thinkling_seconds_bucket{le="+Inf"} 4',
        "thinkling_seconds_sum 7.65",
        "thinkling_seconds_count 4",
    ]


def test_a_counter_without_labels_is_there_before_anything_is_counted() -> None:
    metrics = Metrics()
    metrics.counter("nothing_total", "Nothing yet.")
    assert "thinkling_nothing_total 0" in metrics.text()


def test_threads_lose_no_count() -> None:
    metrics = Metrics()
    counter = metrics.counter("total", "All.")
    histogram = metrics.histogram("size", "Sizes.", (1,))

    def count() -> None:
        for _ in range(2000):
            counter.add()
            histogram.observe(0.5)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "thinkling_total 16000" in metrics.text()
    assert "thinkling_size_count 16000" in metrics.text()


@pytest.mark.parametrize("path", ["/never/heard/of", "/also-not?x=1", "/%0athinkling_fake_total 1"])
def test_what_a_client_says_becomes_no_label(path: str) -> None:
    metrics = Metrics()
    app = FastAPI(openapi_url=None)
    app.add_middleware(RequestMetrics, metrics=metrics)

    @app.get("/things/{name}")
    async def things(name: str) -> str:
        return name

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/things/one").status_code == client.get("/things/two").status_code == 200
        assert client.get(path).status_code == 404
        assert client.get("/broken").status_code == 500
    lines = [line for line in metrics.text().splitlines() if line.startswith("thinkling_requests_total")]
    assert lines == [
        'thinkling_requests_total{route="/broken",status="500"} 1',
        'thinkling_requests_total{route="/things/{name}",status="200"} 2',
        'thinkling_requests_total{route="none",status="404"} 1',
    ]
