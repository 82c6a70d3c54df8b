"""What reading a checkpoint costs in memory and time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Has imported what reading needs, and reads each file in a process forked for it, whose memory begins as its own does.
_READER = textwrap.dedent("""
    import json, os, signal, sys, time, torch
    from gate5.checkpoint import fetch, read
    from gate5.errors import CheckpointError
    for line in sys.stdin:
        if child := os.fork():
            if status := os.waitpid(child, 0)[1]:
                print(json.dumps({"status": status}), flush=True)
            continue
        signal.alarm(120)
        start, text = time.monotonic(), ""
        policy, vecnormalize = json.loads(line)
        try:
            read(fetch(policy, vecnormalize=vecnormalize))
        except CheckpointError as error:
            text = str(error)
        status = dict(line.split(":") for line in open("/proc/self/status").read().splitlines())
        peak = int(status["VmHWM"].split()[0])  # of this process alone
        print(json.dumps({"mib": peak / 1024, "s": time.monotonic() - start, "text": text}), flush=True)
        os._exit(0)
""")
Measured = Callable[..., dict[str, Any]]


@contextlib.contextmanager
def measuring() -> Iterator[Measured]:
    """Read checkpoints each in a process of its own, under 1 GiB and 10 s; returns ``mib``, ``s`` and ``text``."""
    command, environment = [sys.executable, "-c", _READER], {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        asked, said = process.stdin, process.stdout
        assert asked is not None
        assert said is not None

        def measure(policy: Path, vecnormalize: Path | str = "none") -> dict[str, Any]:
            print(json.dumps([str(policy), str(vecnormalize)]), file=asked, flush=True)
            found: dict[str, Any] = json.loads(said.readline())
            assert "status" not in found, "the reading process died"
            assert found["mib"] < 1024, found
            assert found["s"] < 10 * (1 + os.getloadavg()[0] / (os.cpu_count() or 1)), found  # of a machine of its own
            return found

        yield measure
