"""The text of docs/results/gpu-NAME.md from a measurement's JSON. A number that was not measured is a dash."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.results import table

OURS, FLOOR = "gate5 engine: CUDA graph over mapped memory", "floor: graph of one 4-byte memset, nothing computed"
_RUNNERS = {
    "graph": OURS,
    "stream": "gate5 engine without a graph (`execute_async_v3`, mapped memory)",
    "copies": "plain TensorRT (`execute_async_v3` with copies)",
    "onnxruntime": "ONNX Runtime, 1 CPU thread",
    "floor": FLOOR,
}
_QUANTILES = ("p50_ms", "p95_ms", "p99_ms", "p99_upper_ms", "max_ms")
_SERIES = ("series", "series after the peers")
_TIMED = ("benchmark", "series", "paths", "kernels", "cadence", "peers", "paths after the peers", _SERIES[1])
_GPU = ("PyTorch", "torch.compile", "plain TensorRT")


def get(data: Any, *path: Any) -> Any:
    """A value deep inside, ``None`` where any step is missing."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def part(result: dict[str, Any], name: str, *path: Any) -> Any:
    """What one part of the measurement gave."""
    return get(result, "parts", name, "result", *path)


def series(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The release's back-to-back series, and its repetitions."""
    own = get(result, "artifacts", "latency", "back_to_back")
    return [*([own] if own else []), *(row for name in _SERIES for row in part(result, name) or [])]


def runners(result: dict[str, Any], batch: int) -> dict[str, dict[str, Any]]:
    """Every way in which the policy was run at one batch size, by the name that a reader sees."""
    rows = part(result, "paths", f"batch {batch}") or {}
    found = {shown: rows[name] for name, shown in _RUNNERS.items() if name in rows}
    return found | (part(result, "peers", f"batch {batch}") or {})


def microseconds(value: float | None) -> str:
    return "–" if value is None else f"{1e3 * value:.1f}"


def scientific(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"


def verdicts(result: dict[str, Any]) -> list[str]:
    """The four lines that the specification left open under "Gate 5 Full Results"."""
    art = result["artifacts"]
    latency, onnx = get(art, "latency", "back_to_back"), get(art, "export", "max_abs_error")
    rows = {row["scenario"]: row for row in get(art, "comparison", "scenarios") or []}
    compared = [row for row in rows.values() if get(row, "baseline", "episodes")]
    trip = get(rows.get("emergency_trip"), "rl") or {}
    bound, p99 = get(latency, "p99_upper_ms"), get(latency, "p99_ms")
    shown = trip.get("engine_episodes", 0)
    lines = [
        (
            f"TensorRT p99 < 1 ms, on {gpu_name(result)}",
            _yes(bound is not None and bound < 1.0),
            f"p99 {microseconds(p99)} µs, upper confidence bound {microseconds(bound)} µs",
        ),
        ("ONNX error against PyTorch < 1e-4", _yes(onnx is not None and onnx < 1e-4), scientific(onnx)),
        (
            "PID comparison per phase documented",
            _yes(bool(rows) and len(compared) == len(rows)),
            f"{len(compared)} of {len(rows)} scenarios, table below",
        ),
        (
            "Phase 6 (emergency trip) with the TensorRT engine",
            _yes(shown > 0 and trip.get("driver") == "tensorrt"),
            f"{shown} episodes driven by {trip.get('driver') or 'no engine'}, {trip.get('violations', '–')} violations",
        ),
    ]
    verdict = get(art, "gate", "verdict")
    reasons = [f"- {reason}" for reason in get(art, "gate", "reasons") or []]
    return [
        f"Gate 5: **{verdict or 'no verdict'}**.",
        *reasons,
        "",
        *table(("Gate 5 full results", "", "measured"), lines),
    ]


def targets(result: dict[str, Any]) -> list[str]:
    """What was asked of the engine besides, each with what was measured."""
    p99s = [row["p99_ms"] for row in series(result)]
    p99 = statistics.median(p99s) if p99s else None
    engine = get(result, "artifacts", "parity", "max_abs_error")
    here = runners(result, 1)
    rivals = {name: row["p99_ms"] for name, row in here.items() if name.startswith(_GPU)}
    ours = get(here, OURS, "p99_ms")
    best = min(rivals, key=lambda name: rivals[name], default=None)
    rows = [
        (
            "p99 at batch 1, back to back, below 30 µs",
            _judge(p99, lambda v: v < 0.030),
            f"{microseconds(p99)} µs, median of {len(p99s)} series",
        ),
        (
            "p99 at batch 1 below every GPU peer's in the same run",
            _judge(ours, lambda v: best is not None and v < rivals[best]),
            f"{microseconds(ours)} µs; best peer: {best or 'none was run'} {microseconds(rivals.get(best or ''))} µs",
        ),
        *_near_the_floor(result, here),
        (
            "engine error < 1e-2 on all observations",
            _judge(engine, lambda v: v < 1e-2),
            f"{scientific(engine)}; on those of closed-loop runs "
            f"{scientific(get(result, 'artifacts', 'parity', 'by_kind', 'rollout', 'max_abs_error'))}",
        ),
        _violations(result),
        *_lifetimes(result),
    ]
    return table(("asked for", "", "measured"), rows)


def _near_the_floor(result: dict[str, Any], here: dict[str, Any]) -> list[tuple[str, str, str]]:
    kernels = part(result, "kernels", "batch 1", "chained_ms")
    rows = []
    for quantile in ("p50", "p99"):
        ours, floor = get(here, OURS, f"{quantile}_ms"), get(here, FLOOR, f"{quantile}_ms")
        known = None not in (ours, floor, kernels)
        rows.append(
            (
                f"{quantile} within 1.5 times the floor plus the kernels' own time",
                _judge(ours / (floor + kernels) if known else None, lambda v: v <= 1.5),
                f"{ours / (floor + kernels):.2f} times ({microseconds(floor)} + {microseconds(kernels)} µs)"
                if known
                else "–",
            )
        )
    return rows


def _violations(result: dict[str, Any]) -> tuple[str, str, str]:
    rows = get(result, "artifacts", "comparison", "scenarios") or []
    total = sum(row["rl"]["violations"] for row in rows) if rows else None
    episodes = sum(row["rl"]["engine_episodes"] for row in rows)
    text = "–" if total is None else f"{total} violating steps in {episodes} episodes of {len(rows)} scenarios"
    return "no violation in any scenario, driven by the engine", _judge(total, lambda v: v == 0), text


def _lifetimes(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    grown, threads = part(result, "lifetimes"), part(result, "threads")
    refused = part(result, "refusals")
    rows = [
        (
            "10,000 inferences: no growth of memory",
            _ran(result, "lifetimes"),
            "–"
            if grown is None
            else f"device {grown['device_bytes_lost_in_10000']} bytes, host {grown['host_kib_grown_in_10000']} KiB; "
            f"20 engines opened and closed: device {grown['device_bytes_lost_in_20_engines']} bytes",
        ),
        (
            "two engines in two threads give what one gives, bit by bit",
            _ran(result, "threads"),
            "–" if threads is None else f"{threads['inferences']} inferences",
        ),
        (
            "wrong GPU, wrong version, truncated, damaged: refused, and the caller lives",
            _ran(result, "refusals"),
            "–" if refused is None else f"{len(refused)} of {len(refused)}",
        ),
    ]
    for name in sorted(name for name in result["parts"] if name.startswith("compute-sanitizer")):
        found = part(result, name) or {}
        text = found.get("note") or f"{found.get('errors', '–')} errors, {found.get('ours', '–')} of them ours"
        rows.append((name, "–" if "note" in found else _ran(result, name), text))
    return rows


def latency(result: dict[str, Any]) -> list[str]:
    """All ways to run the policy, by batch size; where another is faster, a sentence says so."""
    lines = ["Microseconds, host to host; the ways take turns within each round, PyTorch's in a process of their own."]
    for batch in (1, 8, 64):
        rows = runners(result, batch)
        if not rows:
            continue
        ours = get(rows, OURS, "p50_ms")
        shown = [
            (name, *(microseconds(row.get(key)) for key in _QUANTILES), f"{row['p50_ms'] / ours:.2f}" if ours else "–")
            for name, row in sorted(rows.items(), key=lambda item: (item[0] == FLOOR, item[1]["p50_ms"]))
        ]
        head = (f"batch {batch}", "p50", "p95", "p99", "p99 bound", "max", "times our p50")
        lines += ["", *table(head, shown), "", _winners(rows, batch)]
    again = part(result, "paths after the peers", "batch 1", "graph")
    if again:
        lines += [
            "",
            f"The engine again after the peers, batch 1: p50 {microseconds(again['p50_ms'])}, p99 "
            f"{microseconds(again['p99_ms'])} µs.",
        ]
    lines += ["", *_repeated(result)]
    tool = part(result, "trtexec") or {"note": "not run"}
    values = ", ".join(f"{name[:-3]} {microseconds(tool[name])} µs" for name in ("p50_ms", "p99_ms") if name in tool)
    return [*lines, "", f"trtexec: {tool.get('note') or values + ' (its own clock, copies and compute)'}."]


def _repeated(result: dict[str, Any]) -> list[str]:
    """The release's own series and its repetitions: the engine alone, while above it takes turns with others."""
    first = ["the release's", *(f"again, {name}" for name in _SERIES for _ in part(result, name) or [])]
    rows = [
        (name, *(microseconds(row.get(key)) for key in _QUANTILES), str(row["samples"]))
        for name, row in zip(first, series(result), strict=False)
    ]
    return table(("the engine alone, back to back", "p50", "p95", "p99", "p99 bound", "max", "samples"), rows)


def _winners(rows: dict[str, Any], batch: int) -> str:
    faster = []
    for name, row in rows.items():
        won = [key[:-3] for key in ("p50_ms", "p99_ms") if name not in (OURS, FLOOR) and row[key] < rows[OURS][key]]
        if won:
            faster.append(f"{name} ({', '.join(won)})")
    return f"Faster than the engine at batch {batch}: {'; '.join(faster) or 'none'}."


def parts_of_latency(result: dict[str, Any]) -> list[str]:
    """Where the time goes, and what idle gaps cost."""
    rows = []
    for batch in (1, 8, 64):
        row = part(result, "kernels", f"batch {batch}") or {}
        names = ("copy_in_ms", "compute_ms", "copy_out_ms", "launch_and_wait_ms", "chained_ms")
        rows.append((str(batch), *(microseconds(row.get(name)) for name in names)))
    head = ("batch, median µs", "copy in", "compute (events)", "copy out", "launch and wait", "chained launches")
    return [
        *table(head, rows),
        "",
        "*Chained launches*: GPU time per inference where graphs follow each other without waiting; so the memset's "
        f"graph takes {microseconds(part(result, 'kernels', 'floor_chained_ms'))} µs. *Events* include what lies "
        "between the two events on the stream.",
        "",
        *idle_gaps(result),
    ]


def idle_gaps(result: dict[str, Any]) -> list[str]:
    """Latency after idle gaps, the shortest first; what keeps the GPU warm in between below the idle ones."""
    measured = [*(part(result, "cadence") or []), *result.get("gaps", [])]
    rows = []
    for gap in sorted(measured, key=lambda gap: (gap["keep_warm_ms"] is not None, gap["gap_ms"])):
        series, warm = gap["series"], gap["keep_warm_ms"]
        name = f"{gap['gap_ms']:g} ms" + ("" if warm is None else f", an inference every {warm:g} ms in between")
        bound = "none" if gap["bounded"] is None else f"p{100 * gap['bounded']:g} < {microseconds(gap['bound_ms'])}"
        quantiles = (microseconds(series[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        rows.append((name, *quantiles, bound, str(series["samples"])))
    head = ("idle gap before each, µs", "p50", "p95", "p99", "max", "bound, 99 % confidence", "samples")
    return table(head, rows)


def scenarios(result: dict[str, Any]) -> list[str]:
    """RL against PID, phase by phase."""
    rows = []
    found = get(result, "artifacts", "comparison", "scenarios") or []
    for row in sorted(found, key=lambda one: one.get("phase") if one.get("phase") is not None else 99):
        base, gap = row.get("baseline") or {}, row.get("difference") or {}
        low, high = gap.get("low"), gap.get("high")
        better = "–" if low is None or high is None else "RL" if low > 0 else "PID" if high < 0 else "neither"
        interval = "–" if low is None else f"{gap['mean']:.3f} [{low:.3f}, {high:.3f}]"
        rows.append(
            (
                f"{row.get('phase')} {row['scenario']}",
                str(row["rl"]["engine_episodes"]),
                str(row["rl"]["violations"]),
                str(base.get("violations", "–")),
                f"{row['rl']['return_mean']:.2f}",
                f"{base['return_mean']:.2f}" if base.get("return_mean") is not None else "–",
                interval,
                better,
            )
        )
    head = ("phase", "episodes", "violations RL", "PID", "return RL", "PID", "RL less PID, paired", "better")
    return table(head, rows)


def parity(result: dict[str, Any]) -> list[str]:
    """Errors by kind of observation, and the worst samples whole."""
    rows = []
    onnx, engine = get(result, "artifacts", "export"), get(result, "artifacts", "parity")
    others = part(result, "parity of other precisions") or {}
    reports = {"ONNX against PyTorch": onnx, "engine against ONNX": engine}
    reports |= {f"engine in {name} against ONNX": row for name, row in others.items() if name == "fp32"}
    for name, report in reports.items():
        for kind, row in (get(report, "by_kind") or {}).items():
            counts = (str(row["compared"]), str(row["nonfinite"]))
            rows.append((f"{name}, {kind}", *counts, scientific(row["max_abs_error"])))
    lines = table(("largest error of an action", "observations", "not finite", "error"), rows)
    if engine:
        lines += [
            "",
            f"The same observation twice gave other bits {engine['repeat_mismatches']} times of {engine['repeats']}; "
            f"largest difference between batch 1 and {engine['batch_max']}: {scientific(engine['batch_spread'])}.",
        ]
    for name, report in (("ONNX against PyTorch", onnx), ("engine against ONNX", engine)):
        worst = get(report, "worst")
        if worst:
            lines += [
                "",
                f"Worst sample, {name} ({worst['kind']}): observation `{_list(worst['observation'])}`, "
                f"expected `{_list(worst['expected'])}`, actual `{_list(worst['actual'])}`.",
            ]
    return lines


def conditions(result: dict[str, Any]) -> list[str]:
    """GPU, versions, clocks before and after, and what broke."""
    metadata = get(result, "artifacts", "engine") or {}
    hardware = metadata.get("hardware", {})
    facts = get(metadata, "build") or {}
    lines = [
        f"{hardware.get('gpu', 'no GPU')}, compute capability {hardware.get('compute_capability')}, driver "
        f"{hardware.get('driver')}, CUDA {hardware.get('cuda_driver')}, TensorRT "
        f"{get(metadata, 'versions', 'tensorrt')}; peers: PyTorch {part(result, 'peers', 'torch') or 'not run'}.",
        "",
        f"Engine {metadata.get('precision')} ({metadata.get('precision_evidence')}), {len(metadata.get('layers', []))} "
        f"layers, tactic sources {facts.get('tactic_sources')}, built in {facts.get('seconds', float('nan')):.1f} s; "
        f"again with the timing cache in "
        f"{part(result, 'second build', 'second_build', 'seconds') or float('nan'):.1f} s.",
        "",
        *table(
            ("plan", "profiles", "kept", "builds, µs of the GPU per inference"),
            [
                (plan["name"], str(plan["profiles"]), plan["form"], ", ".join(map(_build, _builds(plan))))
                for plan in facts.get("plans", [])
            ],
        ),
    ]
    rows, names = [], list[str]()
    for name in _TIMED:
        for when in ("device_before", "device_after"):
            state = get(result, "parts", name, when) or {}
            if len(state) > 1:
                names = list(state)
                rows.append((f"{name}, {when[7:]}", *(str(value) for value in state.values())))
    if rows:
        lines += ["", *table(("part", *names), rows)]
    broken = [f"- {failure.replace(chr(10), ' ')[:600]}" for failure in result["failures"]]
    return [*lines, "", "## What broke", "", *(broken or ["Nothing."])]


def _builds(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Measurements made before version 0.2.0 call them candidates."""
    return list(plan.get("builds", plan.get("candidates", [])))


def _build(row: dict[str, Any]) -> str:
    return f"{microseconds(row['gpu_ms'])} ({row['form']})"


def gpu_name(result: dict[str, Any]) -> str:
    return str(get(result, "artifacts", "engine", "hardware", "gpu") or "an unknown GPU")


def _list(values: list[float]) -> str:
    return ", ".join("NaN" if value is None else f"{value:.6g}" for value in values)


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


def _judge(value: Any, holds: Callable[[Any], bool]) -> str:
    return "not measured" if value is None else _yes(holds(value))


def _ran(result: dict[str, Any], name: str) -> str:
    row = result["parts"].get(name)
    return "not measured" if row is None else _yes("failed" not in row)
