"""Engine processes that load, answer nothing and end, again and again: what a swap of releases puts on a machine.

python -m benchmarks.runtime_loads HOME    # made by `python -m benchmarks.runtime --prepare HOME`

It goes on until its standard input is closed, and then prints how many engines it has loaded.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

from gate5.config.run import RunConfig
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import read_installed
from gate5.edge.runtime.launcher import Launcher
from gate5.store import load_public_keys

#: As long as a release that is swapped in is in shadow and on probation: 150 periods of 1 ms.
KEPT_S = 0.15


def main(home: Path) -> int:
    """Load until nobody wants more."""
    os.environ["GATE5_HOME"] = str(home)
    release = read_installed(home / "plant", load_public_keys([home / "var/keys/release.pub"]))
    launcher, config, loaded = Launcher(), RunConfig.load(None, {"realtime": True}), 0
    print("ready", flush=True)
    while not select.select([sys.stdin], (), (), 0.0)[0]:
        link = EngineLink(release, launcher, config)
        while not link.ready and link.check_start() is None:
            time.sleep(0.001)
        loaded += link.ready
        time.sleep(KEPT_S)
        link.close()
    launcher.close()
    print(loaded, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).absolute()))
