"""docs/results/gpu-NAME.md, .json and the plots from what ``bench_gpu.py measure`` wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import tables
from benchmarks.results import RESULTS, write
from gate5.evaluation import ScenarioComparison
from gate5.report.chart import Chart, Mark, Series
from gate5.report.sections.trajectories import panels
from gate5.report.standalone import sheet

_KINDS = ("c2", "c3", "c4", "c5", "c6", "c7", "c8")  # no two of one colour, none the engine's own


def write_pages(result: dict[str, Any], trajectories: Path | None) -> list[Path]:
    """Write everything; returns the files."""
    name = slug(tables.gpu_name(result))
    RESULTS.mkdir(parents=True, exist_ok=True)
    plots = {f"{name}-latency.svg": sheet(distributions(result), 1)}
    if trajectories is not None and trajectories.is_file():
        charts = trip(result, trajectories)
        if charts:
            plots[f"{name}-emergency-trip.svg"] = sheet(charts, 2)
    for file, content in plots.items():
        (RESULTS / file).write_text(content)
    exported = (result["artifacts"].get("prepared") or {}).get("machine") or {}
    if result["machine"]["commit"] == "unknown":  # the GPU's machine had the files and no repository
        result["machine"]["commit"] = exported.get("commit", "unknown")
    page = write(name, f"TensorRT on {tables.gpu_name(result)}", command(result), compact(result),
                 text(result, list(plots)), indent=None)  # fmt: skip
    return [page, page.with_suffix(".json"), *(RESULTS / file for file in plots)]


def slug(gpu: str) -> str:
    """``gpu-h200`` of ``NVIDIA H200``."""
    words = re.sub(r"[^a-z0-9]+", "-", gpu.lower().replace("nvidia", "")).strip("-")
    return f"gpu-{words or 'unknown'}"


def command(result: dict[str, Any]) -> str:
    """What makes the numbers again: one target where one machine has everything."""
    return f"make bench-gpu (here in phases: {without_folders(result['command'])})"


def without_folders(line: str) -> str:
    """A command line whose absolute paths are cut down to the file's name."""
    return " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in line.split(" "))


def text(result: dict[str, Any], plots: list[str]) -> list[str]:
    """The page below its heading."""
    prepared = (result["artifacts"].get("prepared") or {}).get("machine") or {}
    pictures = {"latency": "Distributions of latency at batch 1", "emergency": "The emergency trip, engine and PID"}
    shown = {key: [f"![{title}]({plot})" for plot in plots if key in plot] for key, title in pictures.items()}
    return [
        f"Exported at commit {prepared.get('commit', 'unknown')}; measured in {result.get('seconds') or 0:.0f} s.",
        "",
        *tables.verdicts(result),
        "",
        *tables.targets(result),
        "",
        "## Latency",
        "",
        *tables.latency(result),
        "",
        *shown["latency"],
        "",
        *tables.parts_of_latency(result),
        "",
        "## Closed loop",
        "",
        *tables.scenarios(result),
        "",
        *shown["emergency"],
        "",
        "## Parity",
        "",
        *tables.parity(result),
        "",
        "## Conditions",
        "",
        *tables.conditions(result),
    ]


def distributions(result: dict[str, Any]) -> list[Chart]:
    """The share of inferences that are done within a time, one curve per way to run the policy."""
    rows = {name: row for name, row in tables.runners(result, 1).items() if row.get("curve")}
    kinds = iter(_KINDS)
    curves = []
    for name, row in rows.items():
        own = {tables.OURS: "rl", tables.FLOOR: "other"}
        kind = own.get(name) or next(kinds, "other")
        share, times = np.asarray(row["curve"], np.float64).T
        curves.append(Series(name.replace("`", ""), kind, times, share))
    ours = rows.get(tables.OURS, {})
    marks = [Mark(ours[key], key[:-3], "p") for key in ("p50_ms", "p99_ms") if key in ours]
    charts = [
        Chart(
            title="Share of inferences done within a time, batch 1, host to host",
            unit="",
            series=curves,
            x_name="latency, ms",
            marks=[*marks, Mark(1.0, "SLA", "sla")],
            log_x=True,
            y_range=(0.0, 1.0),
            height=330.0,
        )
    ]
    return [chart for chart in charts if chart.series]


def trip(result: dict[str, Any], path: Path) -> list[Chart]:
    """One episode of the emergency trip: engine, PID, set-points and limits."""
    found = tables.get(result, "artifacts", "comparison", "scenarios") or []
    rows = [row for row in found if row["scenario"] == "emergency_trip"]
    if not rows:
        return []
    with np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    return [chart for chart in panels(ScenarioComparison.from_dict(rows[0]), arrays) if chart.series]


def compact(result: dict[str, Any]) -> dict[str, Any]:
    """What a repository keeps: six digits, the curves of batch 1 alone, and no machine's folders."""

    def shorten(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            drop = any(step in ("batch 8", "batch 64") for step in path)
            return {key: shorten(item, (*path, key)) for key, item in value.items() if not (drop and key == "curve")}
        if isinstance(value, list):
            return [shorten(item, path) for item in value]
        if isinstance(value, str) and path[-1] in ("checkpoint", "command", "failed", "failures", "source", "uri"):
            return without_folders(value)
        return float(f"{value:.6g}") if isinstance(value, float) else value

    shortened: dict[str, Any] = shorten(result, ())
    return shortened
