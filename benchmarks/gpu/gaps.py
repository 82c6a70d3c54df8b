"""Latency after idle gaps up to the plant's own period, with and without an inference in between that keeps it warm.

python -m benchmarks.gpu.gaps DIR --out gaps.json [--gap-ms 5000] [--samples 60] [--keep-warm-ms 1]

DIR is a workspace with a built engine. One gap takes ``gap-ms * samples``: five minutes for 60 samples at 5 s, which is
why this is a command of its own; ``python -m benchmarks.gpu render gpu.json --gaps gaps.json …`` puts its rows into the
page.
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

CURVE_MS = (1.0, 10.0)
AFFORDED_MS = 100.0


def curve(engine: Any, obs: Any) -> list[dict[str, Any]]:
    """The gaps that a bench can afford: 1 and 10 ms with 1,000 samples, 100 ms with 500."""
    config = LatencyConfig(iterations=1000, blocks=1, gaps_ms=CURVE_MS, cadence_ms=AFFORDED_MS, cadence_seconds=50.0)
    return _rows(engine, obs, config)


def single(engine: Any, obs: Any, gap_ms: float, samples: int, keep_warm_ms: float | None) -> list[dict[str, Any]]:
    """One gap, with a few samples."""
    config = LatencyConfig(
        iterations=1000,
        blocks=1,
        gaps_ms=(),
        cadence_ms=gap_ms,
        cadence_seconds=samples * gap_ms / 1e3 + 1e-6,
        cadence_iterations=samples,
        keep_warm_ms=keep_warm_ms,
    )
    return _rows(engine, obs, config)


def _rows(engine: Any, obs: Any, config: LatencyConfig) -> list[dict[str, Any]]:
    report = LatencyBenchmark(engine, config).run(obs)
    rows = [dataclasses.asdict(gap) for gap in report.gaps]
    # Only what was asked for: with keep_warm_ms the idle gap is not measured again.
    return [row for row in rows if row["keep_warm_ms"] == config.keep_warm_ms]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--gap-ms", type=float, default=5000.0)
    parser.add_argument("--samples", type=int, default=60)
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
