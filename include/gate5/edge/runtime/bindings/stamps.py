"""``Stamps``: which of many nodes' time stamps says how old a reading is."""

from __future__ import annotations

from collections.abc import Sequence

from gate5.edge.runtime.bindings.clock import TOLERANCE_S
from gate5.plant.base import Plant


class Stamps:
    """The newest stamp of a measured value counts: a plant that lives changes something, a set-point may stand still.

    What was stamped before the server's clock was set back lies in its future; it counts again once it has moved.

    Args:
        counts: ``[n]``, which nodes' stamps say when the plant was seen.
    """

    def __init__(self, counts: Sequence[bool]) -> None:
        self._nodes = [i for i, does in enumerate(counts) if does]
        self._last: dict[int, float] = {}
        self._moved: set[int] = set()  # stamped by the clock as it goes now
        self._newest: float | None = None

    def newest(self, stamps: Sequence[float | None]) -> tuple[float | None, bool]:
        """The stamp of a reading, ``None`` before any, and whether a clock was set back since the one before.

        Args:
            stamps: ``[n]``, seconds since 1970; ``None``: no value that can be used, or none was given.
        """
        given = {i: s for i in self._nodes if (s := stamps[i]) is not None}
        before = self._last
        moved = {i for i, s in given.items() if i in before and s != before[i]}
        asked = moved & self._moved
        back = {i for i in asked if given[i] < before[i]}
        self._last = {**before, **given}
        # Where most go on, single ones that go back speak of themselves; they were read in the middle of a setting.
        was_set = bool(back) and 2 * len(back) >= len(asked)
        first = not self._moved
        self._moved = back if was_set else self._moved | moved
        stamp = max((s for i, s in given.items() if i in self._moved), default=None)
        if stamp is None and not self._moved:
            stamp = max(given.values(), default=None)
        elif stamp is not None and first and self._newest is not None:
            was_set = stamp < self._newest - TOLERANCE_S
        self._newest = self._newest if stamp is None else stamp
        return self._newest, was_set


def measured(plant: Plant) -> list[bool]:
    """Which observations are measured, ``[obs_dim]``; where a plant does not say so, all of them."""
    kinds = {s.name: s.kind for s in getattr(plant, "signals", ())}
    names = plant.observation_space.names
    found = [kinds.get(name) == "measured" for name in names]
    return found if any(found) else [True] * plant.observation_space.size
