"""One period as bytes, from the supervisor to the recording process; made without a new array."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gate5.edge.runtime.decision import CAUSES, Decision, Reading
from gate5.io import canonical
from gate5.plant.base import Float32

_HEAD = struct.Struct("<cBBBIqfIIII")
_ARRAYS = 48
MOST_TEXT = 240
MOST_REASON = 500
SOURCES = ("policy", "baseline", "safe")
_CAUSES = tuple(CAUSES)
_INDEX = {cause: i for i, cause in enumerate(_CAUSES)}
_NONE = 255
HANDED_OVER, GIVEN_BACK, STARTS, POLICY, MISSED = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Hello:
    """What the records after it are of; sent first, and again when the release or the mode changes."""

    release: str
    mode: str
    channel: str
    period_s: float
    observations: tuple[str, ...]
    actions: tuple[str, ...]
    margins: tuple[str, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    #: variable, lowest, highest, name, catastrophic
    limits: tuple[tuple[str, float | None, float | None, str, bool], ...] = ()
    binding: str = ""

    def pack(self) -> bytes:
        """For the wire."""
        return b"H" + canonical.dumps(vars(self))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hello:
        """The inverse of ``vars``."""
        lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**lists)


@dataclass(frozen=True)
class Period:
    """What came over the wire; arrays are float32, NaN where there was nothing."""

    number: int
    time_ns: int
    source: str
    cause: str
    text: str
    flags: int
    age_s: float
    inference_ns: int
    overhead_ns: int
    waited_ns: int
    obs: Float32
    action: Float32
    policy: Float32
    baseline: Float32
    margins: Float32


class Packer:
    """Writes periods into one buffer, again and again."""

    def __init__(self, obs_dim: int, act_dim: int, margins: int) -> None:
        sizes = (obs_dim, act_dim, act_dim, act_dim, margins)
        self._end = _ARRAYS + 4 * sum(sizes)
        self._buffer = bytearray(self._end + MOST_TEXT)
        self._view = memoryview(self._buffer)
        whole = np.frombuffer(self._buffer, np.float32, sum(sizes), _ARRAYS)
        ends = np.cumsum(sizes).tolist()
        self._parts = [whole[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        self._number = 0

    def pack(self, reading: Reading, decision: Decision, margins: Sequence[float] | Float32) -> memoryview:
        """The bytes of a period; good until the next call."""
        obs, action, policy, baseline, left = self._parts
        obs[:] = np.nan if reading.obs is None or reading.obs.shape != obs.shape else reading.obs
        action[:] = decision.action if decision.applies else np.nan
        policy[:] = np.nan if decision.policy is None else decision.policy
        baseline[:] = np.nan if decision.baseline is None else decision.baseline
        left[:] = margins
        flags = (
            HANDED_OVER * decision.handed_over + GIVEN_BACK * decision.given_back + STARTS * reading.starts
            + POLICY * (decision.policy is not None) + MISSED * decision.missed
        )  # fmt: skip
        self._number += 1
        age = min(max(reading.age_s, -1e30), 1e30)
        _HEAD.pack_into(
            self._buffer, 0, b"P", SOURCES.index(decision.source), _INDEX.get(decision.cause, _NONE), flags,
            self._number & 0xFFFFFFFF, time.time_ns(), age, _u32(decision.inference_ns), _u32(decision.overhead_ns),
            _u32(decision.waited_ns), 0,
        )  # fmt: skip
        if not decision.text:
            return self._view[: self._end]
        text = decision.text.encode()[:MOST_TEXT]
        self._view[self._end : self._end + len(text)] = text
        return self._view[: self._end + len(text)]


def pack_outcome(outcome: dict[str, Any]) -> bytes:
    """What became of a newer release, for the wire."""
    told = {"release": outcome["release"], "outcome": outcome["outcome"], "reason": outcome["reason"][:MOST_REASON]}
    return b"O" + canonical.dumps(told)


def unpack(data: bytes, hello: Hello) -> Period:
    """A period of ``Packer.pack``.

    Raises:
        ValueError: it is none, or of another size.
    """
    try:
        _, source, cause, flags, number, time_ns, age, inference, overhead, waited, _ = _HEAD.unpack_from(data)
        n, m, k = len(hello.observations), len(hello.actions), len(hello.margins)
        sizes = (n, m, m, m, k)
        whole = np.frombuffer(data, np.float32, sum(sizes), _ARRAYS)
        obs, action, policy, baseline, margins = np.split(whole, np.cumsum(sizes)[:-1])
        text = data[_ARRAYS + 4 * sum(sizes) :].decode(errors="replace")
        name = "" if cause == _NONE else _CAUSES[cause]
        return Period(
            number, time_ns, SOURCES[source], name, text, flags, age, inference, overhead, waited, obs, action, policy,
            baseline, margins,
        )  # fmt: skip
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a period: {error}") from None


def _u32(value: int) -> int:
    return min(max(value, 0), 0xFFFFFFFF)
