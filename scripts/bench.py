#!/usr/bin/env python3
"""Every measurement that needs no GPU, one after the other; each writes its page in docs/results/.

python scripts/bench.py [NAME ...]    names: plant latency (default: all)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = {"plant": "bench_plant.py", "latency": "bench_latency.py"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCRIPTS)}")
    names = parser.parse_args().names or list(SCRIPTS)
    unknown = [name for name in names if name not in SCRIPTS]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]!r}; there are {', '.join(SCRIPTS)}")
    codes = []
    for name in names:
        print(f"== {name} ({SCRIPTS[name]})", flush=True)
        codes.append(subprocess.run([sys.executable, str(HERE / SCRIPTS[name])], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
