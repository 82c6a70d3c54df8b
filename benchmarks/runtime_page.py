"""The page of ``benchmarks.runtime``."""

from __future__ import annotations

from typing import Any

from benchmarks import results
from gate5.edge.runtime.priority import EARLY_S


def by(causes: dict[str, int]) -> str:
    """Missed periods by cause, in words."""
    return ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in sorted(causes.items())) or "none"


def page(result: dict[str, Any]) -> list[str]:
    """The page's lines."""
    held, killed, swapped, kept = result["cadence"], result["kills"], result["swaps"], result["memory"]
    over, wait = held["overhead_us"], held["waited_us"]
    rows = [
        ("supervisor's share of a period, p50 / p99 / p99.9",
         f"{over['p50']:.0f} / {over['p99']:.0f} / {over['p99.9']:.0f} us"),
        ("wait for the engine, p50 / p99", f"{wait['p50']:.0f} / {wait['p99']:.0f} us"),
        (f"periods of 1 ms missed, of {held['periods']}", f"{held['missed']}"),
        ("of them by what took most of the period", by(held["missed_by"])),
        ("garbage collections in them", f"{held['collected']}"),
        (f"periods missed by a loop that does nothing, awake as early / that sleeps, of {held['empty_periods']} each",
         f"{held['missed_empty']} / {held['missed_asleep']}"),
        ("periods that the policy drove", f"{held['policy']}"),
        (f"engine killed {killed['kills']} times: PID's action in the same period", f"{killed['same_period']}"),
        (f"releases swapped in at 1 kHz ({swapped.get('periods', 0)} periods)", f"{swapped['swaps']}"),
        ("swaps with a missed period at them", f"{swapped.get('missed_at_a_swap', 0)}"),
        ("periods missed in all of that", f"{swapped.get('missed', 0)}"),
        ("of them by what took most of the period", by(swapped.get("missed_by", {}))),
        ("of as many by a loop that does nothing, awake as early / that sleeps, while "
         f"{swapped.get('loads_beside_it', 0)} / {swapped.get('loads_beside_sleep', 0)} engines load",
         f"{swapped.get('missed_empty', 0)} / {swapped.get('missed_asleep', 0)}"),
        (f"memory after {kept['periods'] // 10} / {kept['periods']} periods",
         f"{kept['kib_after_a_tenth']} / {kept['kib_at_the_end']} KiB"),
    ]  # fmt: skip
    if result["gaps"]["samples"]:
        rows += [
            (f"wait for the engine after {result['gaps']['gap_ms']:.0f} ms, {name}, p50 / p95",
             f"{result['gaps'][name]['p50']:.0f} / {result['gaps'][name]['p95']:.0f} us")
            for name in ("idle", "kept warm")
        ]  # fmt: skip
    return [
        *results.table(("what", "measured"), rows),
        "",
        "The share is everything from the reading to the sleep but the wait for the engine's answer: reading, the",
        "checks, the baseline, asking, writing, counting. The plant is a recorded episode: its own steps cost nothing.",
        "A period is missed where it ends late; the empty loop is counted in the same way. The supervisor is awake",
        f"{1e3 * EARLY_S:g} ms before a period and rehearses it then, as `realtime: true` does; that is no part of the",
        "share. One empty loop is awake as early; the other sleeps until its period is due, as an untuned loop does.",
        "Supervisor, engine and the empty loop ask for real-time scheduling (SCHED_FIFO), as `realtime: true` does.",
    ]
