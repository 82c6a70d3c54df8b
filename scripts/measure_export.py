"""How long a policy's export takes in a fresh process, beyond importing torch: ``python -m scripts.measure_export``.

Reading, tracing, and the comparison with Stable-Baselines3 on some 8,000 observations; the median of several processes.
Processor time is what the work takes on an idle machine; the time by the clock grows with the machine's load, which is
printed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "examples/checkpoints/good"
_EXPORT = textwrap.dedent("""
    import json, sys, time, torch
    torch.set_num_threads(1)
    start, clock = time.process_time(), time.perf_counter()
    import numpy as np
    from gate5.checkpoint import fetch, read
    from gate5.config.candidate import ExportConfig
    from gate5.export import ONNXExporter
    checkpoint = read(fetch(sys.argv[1]))
    compiler = checkpoint.network is not None and "torch._dynamo" in sys.modules
    scale = np.sqrt(checkpoint.normaliser.var)
    rows = checkpoint.normaliser.mean + scale * np.random.default_rng(0).normal(size=(2000, len(scale)))
    _, report = ONNXExporter(ExportConfig()).export(checkpoint, rows.astype(np.float32))
    print(json.dumps({"cpu_s": time.process_time() - start, "clock_s": time.perf_counter() - clock,
                      "compiler": compiler, "error": report.max_abs_error, "reference": report.reference}))
""")


def once(checkpoint: Path = SHIPPED) -> dict[str, Any]:
    """One fresh process: seconds of processor time and by the clock, the graph's error and what it was compared with.

    Args:
        checkpoint: a policy with a normaliser.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EXPORT, str(checkpoint)],
        capture_output=True, text=True, check=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    found = [once(options.checkpoint) for _ in range(options.times)]
    cpu, clock = (statistics.median(each[key] for each in found) for key in ("cpu_s", "clock_s"))
    print(
        f"median of {len(found)} fresh processes: {cpu:.2f} s of processor time, {clock:.2f} s by the clock "
        f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors); error {found[0]['error']:.1e} against "
        f"{found[0]['reference']}"
    )


if __name__ == "__main__":
    main()
