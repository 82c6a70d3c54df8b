"""Counterexamples in the artifact store: what broke an earlier candidate is tried on every later one.

They are hints and no evidence by themselves: each is driven again before it counts. A store that cannot be read ends a
release elsewhere, so here it is only logged.
"""

from __future__ import annotations

import logging
import re

from gate5.config.channel import StoreConfig
from gate5.store import open_store

_LOG = logging.getLogger("gate5.store.cases")
#: The most that one search tries.
MOST = 64


def fetch(config: StoreConfig, plant: str, scenario: str) -> list[bytes]:
    """The kept cases of a plant's scenario, at most ``MOST``, in an order that does not change."""
    try:
        backend = open_store(config).backend
        found = [backend.read(name) for name in backend.list(_folder(plant, scenario), limit=MOST)]
        return [data for data in found if data is not None]
    except Exception as error:  # noqa: BLE001 - a search without earlier cases is still a search
        _LOG.warning("No earlier cases were read from the store: %s", error)
        return []


def keep(config: StoreConfig, plant: str, scenario: str, identity: str, data: bytes) -> bool:
    """Put a case into the store; ``False``: it is there already, or the store did not take it."""
    try:
        return open_store(config).backend.create(f"{_folder(plant, scenario)}{identity}.json", data)
    except Exception as error:  # noqa: BLE001 - as above
        _LOG.warning("The worst case was not put into the store: %s", error)
        return False


def _folder(plant: str, scenario: str) -> str:
    return "/".join(
        ["cases", *(re.sub(r"[^A-Za-z0-9_-]+", "-", part).strip("-") or "x" for part in (plant, scenario)), ""]
    )
