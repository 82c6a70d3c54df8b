"""Prometheus metrics and ``/healthz`` of a running supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import numpy as np

from gate5.edge.runtime.record.wire import HANDED_OVER, MISSED, POLICY, SOURCES, Hello, Period
from gate5.io import canonical

#: Seconds; from a fast engine to one that misses every deadline.
BUCKETS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0)
#: A supervisor that has said nothing for so many periods is not well.
SILENT_PERIODS = 3.0


class Metrics:
    """What is known of the run, for whoever asks."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}
        self._periods = Counter("gate5_periods", "control periods by who drove", ["source"], **made)
        self._hand_overs = Counter("gate5_hand_overs", "times that the policy lost the plant", ["cause"], **made)
        self._causes = Counter("gate5_causes", "periods in which the policy was not trusted", ["cause"], **made)
        self._updates = Counter("gate5_updates", "what became of newer releases", ["outcome"], **made)
        self._missed = Counter("gate5_missed_periods", "periods that began late", **made)
        self._inference = Histogram("gate5_inference_seconds", "in the engine process", buckets=BUCKETS, **made)
        self._overhead = Histogram(
            "gate5_supervisor_seconds", "a period without the wait for the engine", buckets=BUCKETS, **made
        )
        self._margin = Gauge("gate5_margin", "distance to a constraint, its unit", ["constraint"], **made)
        self._source = Gauge("gate5_driving", "1: drives the plant", ["source"], **made)
        self._release = Gauge("gate5_release_info", "what drives, 1", ["release", "mode", "channel"], **made)
        self._age = Gauge("gate5_observation_age_seconds", "of the newest observation", **made)
        self._difference = Gauge("gate5_shadow_difference", "policy less baseline, its unit", ["action"], **made)
        self.recording = Gauge("gate5_recording", "1: the flight recorder writes", **made)
        self._hello: Hello | None = None
        self._last: Period | None = None
        self._at = time.monotonic()

    def hello(self, hello: Hello) -> None:
        """Another release or mode."""
        self._hello = hello
        self._release.clear()
        self._release.labels(hello.release, hello.mode, hello.channel).set(1)

    def add(self, period: Period) -> None:
        """Count a period."""
        self._last, self._at = period, time.monotonic()
        hello = self._hello
        if hello is None:
            return
        self._periods.labels(period.source).inc()
        for source in SOURCES:
            self._source.labels(source).set(source == period.source)
        if period.cause:
            self._causes.labels(period.cause).inc()
        if period.flags & HANDED_OVER:
            self._hand_overs.labels(period.cause or "hold").inc()
        if period.flags & MISSED:
            self._missed.inc()
        if period.flags & POLICY:
            self._inference.observe(period.inference_ns / 1e9)
            for name, value in zip(hello.actions, (period.policy - period.baseline).tolist(), strict=True):
                self._difference.labels(name).set(value)
        self._overhead.observe(period.overhead_ns / 1e9)
        self._age.set(period.age_s)
        for name, value in zip(hello.margins, period.margins.tolist(), strict=True):
            if np.isfinite(value):
                self._margin.labels(name).set(value)

    def outcome(self, outcome: str) -> None:
        """A newer release ``took_over``, ``passed`` its probation, was ``put_back`` or ``refused``."""
        self._updates.labels(outcome).inc()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the supervisor speaks, and what it last said."""
        silent = time.monotonic() - self._at
        hello, last = self._hello, self._last
        allowed = max(SILENT_PERIODS * hello.period_s, 1.0) if hello else 0.0
        well = last is not None and hello is not None and silent < allowed
        return well, {
            "ok": well, "silent_s": round(silent, 3), "source": last.source if last else None,
            "cause": last.cause if last else None, "release": hello.release if hello else None,
            "mode": hello.mode if hello else None,
        }  # fmt: skip


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class _Server(WSGIServer):
    allow_reuse_address = True


def serve(metrics: Metrics, address: str, port: int) -> int:
    """Answer ``/metrics`` and ``/healthz`` in a thread; returns the port.

    Raises:
        OSError: the port is taken.
    """
    from prometheus_client import make_wsgi_app

    scrape = make_wsgi_app(metrics.registry)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            found: Iterable[bytes] = scrape(environ, start)
            return found
        if path == "/healthz":
            well, said = metrics.health()
            start("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [canonical.dumps(said)]
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics and /healthz are all there is.\n"]

    server = make_server(address, port, application, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)
