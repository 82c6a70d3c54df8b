"""kill -9 at a chosen step: run a function in a forked process that ends itself just before its n-th change.

A change is a file operation (a file opened for writing, a link, a rename, a removal, a new folder) or a piece of a PUT
that is sent to a server (its head, its body, and whatever is sent after it). The interpreter announces all of them as
audit events, so the code under test needs no hook of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

_CHANGES = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink"}


def run_killed(work: Callable[[], object], step: int) -> bool:
    """Run ``work`` in a forked process that gets SIGKILL just before its change number ``step`` (from 0).

    Returns:
        Whether it was killed; ``False``: it came to its end, having made fewer changes.

    Raises:
        AssertionError: it failed; its traceback went to standard error.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.addaudithook(_hook(step))
            work()
            code = 0
        except BaseException:  # noqa: BLE001 (a forked child must not go on as a second test run)
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        raise AssertionError(f"the forked process failed (status {status}); its traceback is in the captured output")
    return False


def _hook(step: int) -> Callable[[str, tuple[Any, ...]], None]:
    left, after_put = step, 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left, after_put
        if event == "open":
            change = isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        elif event == "http.client.send":
            data = arguments[1]
            if isinstance(data, bytes) and data.startswith(b"PUT "):
                after_put = 3
            change, after_put = after_put > 0, max(0, after_put - 1)
        else:
            change = event in _CHANGES
        if change:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    return hook
