"""``python -m gate5``: the command ``gate5``."""

from __future__ import annotations

import sys

from gate5.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
