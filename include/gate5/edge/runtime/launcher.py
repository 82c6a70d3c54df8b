"""A small process that starts engine processes, so that the supervisor never forks while it controls a plant.

It reads orders from its standard input, a Unix socket: the command as JSON, its descriptors beside it. ``{fd0}`` in an
argument is the number of the first descriptor.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys


def main() -> None:
    """Serve until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    orders = socket.socket(fileno=0)
    children: list[subprocess.Popen[bytes]] = []
    while True:
        message, handles, _, _ = socket.recv_fds(orders, 1 << 20, 8)
        if not message:
            return
        command = json.loads(message)
        names = {f"fd{i}": handle for i, handle in enumerate(handles)}
        arguments = [text.format(**names) if text.startswith("{fd") else text for text in command]
        with contextlib.suppress(OSError):
            children.append(
                subprocess.Popen(
                    arguments,
                    pass_fds=handles,
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,  # standard output is the run's own result
                    start_new_session=True,
                )
            )
        for handle in handles:
            os.close(handle)
        children = [child for child in children if child.poll() is None]


class Launcher:
    """The supervisor's end."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno())
        theirs.close()
        ours.setblocking(False)
        self._orders = ours

    def start(self, command: list[str], handles: list[int]) -> bool:
        """Start a command that gets these descriptors; whether the launcher took the order."""
        try:
            socket.send_fds(self._orders, [json.dumps(command).encode()], handles)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End the launcher; what it started ends by itself once nobody asks."""
        self._orders.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)


if __name__ == "__main__":
    main()
