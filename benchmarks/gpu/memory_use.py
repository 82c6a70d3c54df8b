#!/usr/bin/env python3
"""What our engine does with memory, for compute-sanitizer to watch: open, run each way at three sizes, close; twice.

python -m benchmarks.gpu.memory_use WORKSPACE [--inferences 50]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from gate5.engine.tensorrt import isolated
from gate5.engine.tensorrt.runtime import TensorRTEngine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--inferences", type=int, default=50)
    parser.add_argument("--batches", type=int, nargs="*", default=[8, 64, 8], help="larger ones, one after the other")
    options = parser.parse_args()
    blob = (options.workspace / "engine/policy.engine").read_bytes()
    metadata = json.loads((options.workspace / "engine/engine.json").read_text())
    obs = np.ascontiguousarray(np.load(options.workspace / "observations.npz")["obs"], np.float32)
    # This process is the child: whether the plan can be read has been seen before.
    isolated._passed.add(metadata["blob_sha256"])
    for path in ("graph", "stream", "copies", "graph"):
        with TensorRTEngine.open(blob, metadata, path) as engine:
            for index in range(options.inferences):
                engine.poison()
                actions = engine.infer(obs[index % len(obs)][None])
            for batch in options.batches:
                actions = engine.infer(obs[:batch])
            engine.split(obs[:1])
        if not np.isfinite(actions).all():
            return 1
    print(f"gpu_memory_use: done {actions.shape}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
