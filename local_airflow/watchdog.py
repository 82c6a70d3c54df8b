"""Ends process groups when its standard input closes, which it does however its parent dies.

Run as a process of its own. Each line of standard input is the id of a process group to end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

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
            groups = [group for group in groups if send(group, 0) and not only_zombies(group)]


def send(group: int, number: int) -> bool:
    """Signal a group; ``False`` where it has no process any more."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    return True


def only_zombies(group: int) -> bool:
    """Whether all that is left of a group is dead processes that nobody has collected (Linux; elsewhere ``False``)."""
    states = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = entry.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group:
            states.append(state)
    return bool(states) and set(states) <= {"Z", "X"}


if __name__ == "__main__":
    main()
