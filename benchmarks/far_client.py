"""A network between a client and an S3 server on the same machine: each request of such a client waits a while."""

from __future__ import annotations

import time
from typing import Any

#: What a request to another site takes, there and back [s].
ROUND_TRIP_S = 0.02


def through_a_network(client: Any) -> Any:
    """The client, each of whose requests waits before it is sent, whichever thread sends it."""
    client.meta.events.register("before-send.s3", _wait)
    return client


def _wait(**_: Any) -> None:
    time.sleep(ROUND_TRIP_S)
