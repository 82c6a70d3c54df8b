"""Several calls at once: what waits for a network or a disk need not wait for one answer before it asks again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: No more than boto3's client keeps connections for, and few enough for a small server.
AT_ONCE = 4


def together(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each call gives, in the calls' order.

    All have ended when this returns or raises; of several errors the first call's is raised. What had not begun when
    one failed is not begun any more.
    """
    wanted = list(calls)
    if len(wanted) < 2:
        return [call() for call in wanted]
    with ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
        runs = [pool.submit(call) for call in wanted]
        try:
            return [run.result() for run in runs]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
