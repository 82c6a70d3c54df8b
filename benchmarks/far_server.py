"""A network between a client and the tests' S3 server: each request of such a client waits a while on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

#: What a request to another site takes, there and back [s].
ROUND_TRIP_S = 0.02
_HEADER = "x-gate5-round-trip"


def through_a_network(client: Any) -> Any:
    """The client, with its requests marked for ``delayed``."""
    client.meta.events.register("before-send.s3", _mark)
    return client


def _mark(request: Any, **_: Any) -> None:
    request.headers[_HEADER] = str(ROUND_TRIP_S)


def delayed(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """A WSGI application that lets marked requests wait, each by itself."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        time.sleep(float(environ.get(f"HTTP_{_HEADER.upper().replace('-', '_')}", 0)))
        return application(environ, start_response)

    return serve
