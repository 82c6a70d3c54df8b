"""The pages "Releases" on a real store and a real server, with Airflow's questions about the reader answered here.

Who may see what is Airflow's, and is tested on a real one in tests/end_to_end; what the pages say is tested here.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gate5.config.models import ReleaseConfig
from gate5.io import canonical
from gate5.store import ArtifactStore, keygen, open_store, promote, publish, rollback

PROVENANCE: dict[str, Any] = {
    "plant": "sco2",
    "engine": {"backend": "onnxruntime", "precision": "fp32", "device": "a CPU"},
    "gate": {"verdict": "pass"},
    "checkpoint": {"uri": "s3://candidates/nightly", "policy_sha256": "a" * 64},
    "built_with": {"gate5": "0.2.0", "commit": "c" * 40},
    "approved_by": "ada",
}
SCENARIOS = ("Steady state", "Load following", "Emergency trip")


def config(folder: Path, **store: Any) -> ReleaseConfig:
    """A configuration whose store is in a folder of its own."""
    if not (folder / "key.pem").exists():
        keygen(folder / "key.pem")
    section = {"uri": str(folder / "store"), "signing_key": str(folder / "key.pem"), **store}
    return ReleaseConfig.parse({"store": section})


def documents(number: int) -> dict[str, bytes]:
    """Files of a release whose numbers move with ``number``."""
    drift = 0.01 * number

    def row(name: str) -> dict[str, Any]:
        margin = {"name": "turbine_inlet", "unit": "C", "smallest_margin": 5.0 - drift}
        return {
            "scenario": name.lower().replace(" ", "_"), "title": name, "episodes": 50,
            "difference": {"mean": 2.0 + drift, "low": 1.0, "high": 3.0}, "baseline": {"return_mean": 100.0},
            "rl": {"violations": 0, "constraints": [margin, {**margin, "name": "surge", "unit": "1"}]},
        }  # fmt: skip

    def rule(name: str, measured: float, *, veto: bool, outcome: str = "pass") -> dict[str, Any]:
        return {"name": name, "metric": "latency.p99_upper_ms", "op": "<", "threshold": 1.0, "measured": measured,
                "margin": 1.0 - measured, "outcome": outcome, "veto": veto}  # fmt: skip

    rules = [rule("latency_p99", 0.95, veto=True), rule("cadence <b>", 2.0, veto=False, outcome="fail")]
    return {
        "policy.onnx": f"graph {number}".encode(),
        "report.html": b"<!DOCTYPE html><html><body><h1>The report</h1></body></html>",
        "gate.json": canonical.dumps({"verdict": "pass", "rules": rules, "reasons": []}),
        "latency.json": canonical.dumps({"back_to_back": {"p99_upper_ms": 0.03 + 0.001 * number}}),
        "parity.json": canonical.dumps({"max_abs_error": 6e-7}),
        "comparison.json": canonical.dumps({"scenarios": [row(name) for name in SCENARIOS]}),
    }


def fill(store: ArtifactStore, channel: str, count: int, by: str = "ada") -> list[str]:
    """Release ``count`` candidates one after the other; their ids."""
    ids = []
    for number in range(count):
        release = publish(store, {**documents(number), "channel": channel.encode()}, PROVENANCE)
        details = {"dag_id": "policy_release", "run_id": f"manual__{number}"}
        promote(store, channel, release, approved_by=by, reason="Gate 5 passed", details=details)
        ids.append(release.id)
    return ids


def stocked(folder: Path) -> tuple[ReleaseConfig, list[str]]:
    """Two channels; ``production`` has four releases and a rollback from the last one."""
    settings = config(folder)
    store = open_store(settings.store)
    ids = fill(store, "production", 4)
    rollback(store, "production", by="bob", reason="oscillates <i>at part load</i>")
    fill(store, "pilot", 1, by="<script>alert(1)</script>")
    return settings, ids


def application(
    settings: ReleaseConfig,
    may: Mapping[str, bool] | None = None,
    candidates: Sequence[Any] = (),
    api: Any = None,
) -> Any:
    """The plugin's application; ``may``: what the reader may start; ``api``: stands in for Airflow's API."""
    from fastapi import FastAPI

    from gate5_plugin import app as plugin
    from gate5_plugin import security
    from gate5_plugin.releases import routes

    app = plugin.app
    answers: dict[Any, Any] = {
        security.may_see_plugins: lambda: None,
        security.may_see_releases: lambda: None,
        security.acts: lambda: dict(may or {}),
        routes.recent: lambda: list(candidates),
        routes.source: lambda: routes.source_of(settings),
    }
    app.dependency_overrides.clear()
    app.dependency_overrides.update(answers)
    outer = FastAPI()
    if api is not None:
        outer.mount("/api/v2", api)
    outer.mount("/gate5", app)
    return outer


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The application on a port of this machine; its address."""
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        end = time.monotonic() + 120
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
