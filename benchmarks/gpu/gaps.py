"""Latency after idle gaps up to the plant's own period, with and without an inference in between that keeps it warm.

python -m benchmarks.gpu.gaps DIR --out gaps.json [--gap-ms 5000] [--samples 90] [--keep-warm-ms 1]

DIR is a workspace with a built engine. One gap takes ``gap-ms * samples``: seven and a half minutes for 90 samples at
5 s, which is why this is a command of its own; ``python -m benchmarks.gpu render gpu.json --gaps gaps.json …`` puts its
rows into the page.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gate5.config.measurement import LatencyConfig
from gate5.engine import load
from gate5.io.files import write_atomically
from gate5.latency.benchmark import LatencyBenchmark
from gate5.latency.gaps import Gap, GapSeries, measure
from gate5.latency.thread import measuring_thread

CURVE_MS = (1.0, 10.0)
AFFORDED_MS = 100.0
WARM_UP = 1000


def curve(engine: Any, obs: Any) -> list[dict[str, Any]]:
    """The gaps that a bench can afford: 1 and 10 ms with 1,000 samples, 100 ms with 500."""
    config = LatencyConfig(iterations=1000, blocks=1, gaps_ms=CURVE_MS, cadence_ms=AFFORDED_MS, cadence_seconds=50.0)
    return _rows(engine, obs, config)


def single(engine: Any, obs: Any, gap_ms: float, samples: int, keep_warm_ms: float | None) -> list[dict[str, Any]]:
    """One gap alone, with a few samples: of 90 or more p95 has a bound with 99 % confidence."""
    gap, rows = Gap(gap_ms, samples, keep_warm_ms), [np.ascontiguousarray(row[None]) for row in obs]
    with measuring_thread(None, lambda: engine.infer(rows[0])):
        for index in range(WARM_UP):
            engine.infer(rows[index % len(rows)])
        spent = measure(engine.infer, rows, engine.info.act_dim, gap)
    return [dataclasses.asdict(GapSeries.of(gap, spent, LatencyConfig().confidence))]


def _rows(engine: Any, obs: Any, config: LatencyConfig) -> list[dict[str, Any]]:
    return [dataclasses.asdict(gap) for gap in LatencyBenchmark(engine, config).run(obs).gaps]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--gap-ms", type=float, default=5000.0)
    parser.add_argument("--samples", type=int, default=90)
    parser.add_argument("--keep-warm-ms", type=float)
    options = parser.parse_args()
    metadata = json.loads((options.folder / "engine/engine.json").read_bytes())
    with np.load(options.folder / "observations.npz") as data:
        obs = np.ascontiguousarray(data["obs"], np.float32)
    with load((options.folder / "engine/policy.engine").read_bytes(), metadata) as engine:
        rows = single(engine, obs, options.gap_ms, options.samples, options.keep_warm_ms)
    write_atomically(options.out.absolute(), (json.dumps(rows, sort_keys=True) + "\n").encode())
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
