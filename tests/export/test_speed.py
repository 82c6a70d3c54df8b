"""A usual policy is exported within 3 s beyond importing torch, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Processor time, which other processes on the machine change little.
_EXPORT = textwrap.dedent("""
    import json, sys, time, torch
    torch.set_num_threads(1)
    start = time.process_time()
    import numpy as np
    from gate5.checkpoint import fetch, read
    from gate5.config.candidate import ExportConfig
    from gate5.export import ONNXExporter
    checkpoint = read(fetch(sys.argv[1]))
    scale = np.sqrt(checkpoint.normaliser.var)
    rows = checkpoint.normaliser.mean + scale * np.random.default_rng(0).normal(size=(2000, len(scale)))
    _, report = ONNXExporter(ExportConfig()).export(checkpoint, rows.astype(np.float32))
    print(json.dumps({"s": time.process_time() - start, "error": report.max_abs_error, "how": report.reference}))
""")


def test_export_of_the_shipped_policy() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EXPORT, str(ROOT / "examples/checkpoints/good")],
        capture_output=True, text=True, check=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["how"].startswith("stable_baselines3")
    assert found["error"] < 1e-4
    assert found["s"] < 3.0, found
