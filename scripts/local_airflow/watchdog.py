"""Ends process groups when its standard input closes, which it does however its parent dies.

Run as a process of its own. Each line of standard input is the id of a process group to end.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_S = 5.0


def main() -> None:
    """Wait for the end of the input, then end every group that was named."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups = []
    for line in sys.stdin:
        groups.append(int(line))
    for kill, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        groups = [group for group in groups if send(group, kill)]
        end = time.monotonic() + patience
        while groups and time.monotonic() < end:
            time.sleep(0.05)
            groups = [group for group in groups if send(group, 0)]


def send(group: int, number: int) -> bool:
    """Signal a group; ``False`` where it has no process any more."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    return True


if __name__ == "__main__":
    main()
