"""An engine process that never gets as far as its proof."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from gate5.edge.runtime import answering


def _hangs(folder: Path, order: dict[str, Any]) -> Any:
    while True:
        time.sleep(60)


if __name__ == "__main__":
    answering._prove = _hangs
    os._exit(answering.main(sys.argv[1:]))
