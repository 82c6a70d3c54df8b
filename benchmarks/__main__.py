#!/usr/bin/env python3
"""Every measurement that needs no GPU, one after the other; each writes its page in docs/results/.

python -m benchmarks [NAME ...]    names: plant latency dag possible runtime store coverage (default: all)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = {
    "plant": "benchmarks.plant_speed",
    "latency": "benchmarks.cpu_latency",
    "dag": "benchmarks.dag_cost",
    "possible": "benchmarks.possible",
    "runtime": "benchmarks.runtime",
    "store": "benchmarks.store",
    "coverage": "benchmarks.interval_coverage",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODULES)}")
    names = parser.parse_args().names or list(MODULES)
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(MODULES)}")
    codes = []
    for name in names:
        print(f"== {name} ({MODULES[name]})", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", MODULES[name]], cwd=ROOT, check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
