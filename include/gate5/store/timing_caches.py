"""TensorRT's timing caches in the artifact store, one folder per (GPU, TensorRT version): the next build is quicker.

A cache is a convenience. Nothing here ever fails a build: a store that cannot be reached, or bytes that are not what
their name says, are logged, and the build goes on without. TensorRT itself refuses a cache of another GPU or version.
"""

from __future__ import annotations

import logging
import re
import time

from gate5.config.channel import StoreConfig
from gate5.io.files import sha256
from gate5.store import open_store

_LOG = logging.getLogger("gate5.store.timing_caches")
_LAST = 9_999_999_999


def fetch(config: StoreConfig, place: str | None) -> bytes | None:
    """The newest cache of a place; ``None``: there is none, or the store cannot be read.

    Args:
        place: what ``gate5.engine.timing_place`` gave; ``None``: this backend has no timing cache.
    """
    if place is None:
        return None
    try:
        backend = open_store(config).backend
        for name in backend.list(_folder(place), limit=1):
            data = backend.read(name)
            if data is not None and name.endswith(sha256(data)):
                return data
            _LOG.warning("The timing cache %s in %s is damaged and is not used.", name, backend.uri)
    except Exception as error:  # noqa: BLE001 - whatever the store does, the build goes on
        _LOG.warning("No timing cache was read from the store: %s", error)
    return None


def keep(config: StoreConfig, place: str | None, cache: bytes | None) -> str | None:
    """Put a cache into the store; returns its name, ``None`` where nothing was written (or the same is the newest)."""
    if place is None or cache is None:
        return None
    try:
        backend = open_store(config).backend
        newest = backend.list(_folder(place), limit=1)
        digest = sha256(cache)
        if any(name.endswith(digest) for name in newest):
            return None
        # Counted down, so that the first name in a listing is the newest, however many there are.
        name = f"{_folder(place)}{_LAST - int(time.time()):010d}-{digest}"
        return name if backend.create(name, cache) else None
    except Exception as error:  # noqa: BLE001 - as above
        _LOG.warning("The timing cache was not put into the store: %s", error)
        return None


def _folder(place: str) -> str:
    return f"timing-caches/{re.sub(r'[^A-Za-z0-9.]+', '-', place).strip('-.')}/"
