"""Numbers about the server in Prometheus' text format (version 0.0.4), made of three kinds of instruments.

Counters and histograms are fed from the event loop and from the threads that work; a lock keeps them whole. Names and
labels are ours alone: nothing a client says becomes a label, so that no client can fill the memory with them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper edges of the buckets of a duration."""
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
"""Upper edges of the buckets of a number of segments."""


class Counter:
    """A number that only grows, one for each combination of its labels' values.

    Args:
        name: of the metric, without prefix.
        about: one line for a person.
        labels: their names.
    """

    kind = "counter"

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self.name, self.about, self._labels = name, about, tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, *values: str, count: float = 1) -> None:
        """Count something with these values of the labels."""
        assert len(values) == len(self._labels), "a value for each label"
        with self._lock:
            self._values[values] = self._values.get(values, 0.0) + count

    def lines(self) -> list[str]:
        """The samples."""
        with self._lock:
            found = sorted(self._values.items())
        return [f"{self.name}{_labelled(self._labels, values)} {_number(count)}" for values, count in found]


class Gauge:
    """A number that goes up and down, read when somebody asks.

    Args:
        name: of the metric, without prefix.
        about: one line for a person.
        read: called from the event loop.
    """

    kind = "gauge"

    def __init__(self, name: str, about: str, read: Callable[[], float]) -> None:
        self.name, self.about, self._read = name, about, read

    def lines(self) -> list[str]:
        """The sample."""
        return [f"{self.name} {_number(self._read())}"]


class Histogram:
    """How often a quantity fell below each of some edges, with its sum and count.

    Args:
        name: of the metric, without prefix.
        about: one line for a person.
        edges: ascending.
    """

    kind = "histogram"

    def __init__(self, name: str, about: str, edges: Sequence[float]) -> None:
        self.name, self.about, self._edges = name, about, tuple(edges)
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._edges) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        place = sum(value > edge for edge in self._edges)
        with self._lock:
            self._counts[place] += 1
            self._sum += value

    def lines(self) -> list[str]:
        """The buckets, each with all that fell below its edge; sum and count."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        lines, below = [], 0
        for edge, count in zip((*self._edges, float("inf")), counts, strict=True):
            below += count
            lines.append(f'{self.name}_bucket{{le="{_number(edge)}"}} {below}')
        return [*lines, f"{self.name}_sum {_number(total)}", f"{self.name}_count {below}"]


Instrument = Counter | Gauge | Histogram
N = TypeVar("N", Counter, Gauge, Histogram)


class Metrics:
    """The instruments of one server; every name gets the prefix `thinkling_`."""

    def __init__(self) -> None:
        self._instruments: list[Instrument] = []

    def counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        """A new counter; by custom its name ends in `_total`."""
        return self._kept(Counter(f"thinkling_{name}", about, labels))

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> Gauge:
        """A new gauge."""
        return self._kept(Gauge(f"thinkling_{name}", about, read))

    def histogram(self, name: str, about: str, edges: Sequence[float]) -> Histogram:
        """A new histogram."""
        return self._kept(Histogram(f"thinkling_{name}", about, edges))

    def _kept(self, instrument: N) -> N:
        self._instruments.append(instrument)
        return instrument

    def text(self) -> str:
        """Everything, as a scraper wants it."""
        lines = []
        for instrument in self._instruments:
            lines += [
                f"# HELP {instrument.name} {instrument.about}",
                f"# TYPE {instrument.name} {instrument.kind}",
                *instrument.lines(),
            ]
        return "\n".join(lines) + "\n"


class RequestMetrics:
    """Middleware that counts requests by route and status, and times them until their last byte.

    Args:
        app: the application.
        metrics: gets the instruments.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.counter("requests_total", "Requests answered.", ("route", "status"))
        self._seconds = metrics.histogram(
            "request_seconds", "Time from a request's arrival to the last byte of its answer.", SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = "none", time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # a mistake of ours, which becomes an answer further out
            status = "500"
            raise
        finally:
            # The route's own pattern, never the address that was asked for: that could be anything.
            self._requests.add(getattr(scope.get("route"), "path", "none"), status)
            self._seconds.observe(time.perf_counter() - start)


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs: Mapping[str, str] = dict(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{value}"' for name, value in pairs.items()) + "}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
