"""A web server on this machine that keeps what notifiers, OpenLineage and OpenTelemetry post to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Receiver:
    """A web server that keeps what is posted to it.

    Attributes:
        got: what was posted as JSON, in order.
        metrics: what OpenTelemetry posted: requests in protobuf.
    """

    port: int
    got: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Airflow's own settings that let OpenLineage's events and the metrics come here."""
        return {
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "http", "url": self.url}),
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "120",  # as long as a busy machine takes
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{self.url}/v1/metrics",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        }

    def datasets(self, task_id: str, run_id: str, which: str) -> dict[str, str | None]:
        """Names of a task's ``inputs`` or ``outputs``, as its last event has them, to their versions."""
        mine = [event for event in self.got if _is_of(event, task_id, run_id)]
        found = mine[-1][which] if mine else []
        versions = ((each, each.get("facets", {}).get("version")) for each in found)
        return {f"{each['namespace']} {each['name']}": v and v["datasetVersion"] for each, v in versions}

    def points(self, name: str) -> dict[tuple[str | None, str | None], float]:
        """A metric's last value (of a timing, the sum in ms) for each channel and scenario."""
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        found: dict[tuple[str | None, str | None], float] = {}
        for body in self.metrics:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if metric.name == f"airflow.gate5.{name}":
                        found |= {(tags.get("channel"), tags.get("scenario")): value for tags, value in _points(metric)}
        return found


def _is_of(event: dict[str, Any], task_id: str, run_id: str) -> bool:
    facet = event.get("run", {}).get("facets", {}).get("airflow", {})
    of = facet.get("task", {}).get("task_id"), facet.get("dagRun", {}).get("run_id")
    return event.get("eventType") in ("COMPLETE", "FAIL") and of == (task_id, run_id)


def _points(metric: Any) -> Iterator[tuple[dict[str, str], float]]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        tags = {each.key: each.value.string_value for each in point.attributes}
        yield tags, point.sum if "histogram" in kind else getattr(point, point.WhichOneof("value"))


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, for as long as the block takes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "protobuf" in self.headers["Content-Type"]:
                found.metrics.append(body)
            else:
                found.got.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found
