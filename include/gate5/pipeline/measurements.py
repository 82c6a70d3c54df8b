"""What export, verify and benchmark measured, read from a run's or a release's files."""

from __future__ import annotations

from gate5.export import ExportReport
from gate5.latency.report import LatencyReport
from gate5.parity.engine import ParityReport
from gate5.pipeline.awaiting import Files


def metrics(files: Files) -> dict[str, float | None]:
    """What export, verify and benchmark measured, from a run's or a release's files."""
    found: dict[str, float | None] = {}
    found |= ExportReport.from_dict(files.read_json("export.json")).metrics()
    if files.find("parity.json") is not None:
        found |= ParityReport.from_dict(files.read_json("parity.json")).metrics()
    timed = latency(files)
    return found | (timed.metrics() if timed else {})


def notes(files: Files) -> dict[str, str]:
    """What explains the latency's numbers, by metric."""
    timed = latency(files)
    return {} if timed is None else dict(timed.notes())


def latency(files: Files) -> LatencyReport | None:
    """What benchmark measured; ``None`` where the engine is for another machine."""
    if files.find("latency.json") is None:
        return None
    return LatencyReport.from_dict(files.read_json("latency.json"))
