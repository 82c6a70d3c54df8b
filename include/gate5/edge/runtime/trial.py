"""What a new release is judged by: its answers in shadow, its periods on probation."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.engine_link import EngineLink
from gate5.edge.runtime.installed import Installed
from gate5.plant.base import Float32


class Shadow:
    """Asks a release's engine about each period and compares its answer with what was applied.

    An answer may take a whole period: it is fetched when the next question is asked.
    """

    def __init__(self, release: Installed, link: EngineLink) -> None:
        self._link = link
        self._low, self._high = release.plant.action_space.low, release.plant.action_space.high
        self._applied: Float32 | None = None
        self._sum, self._count = 0.0, 0
        self.periods = self.late = 0
        self.largest = 0.0
        self.wrong = ""

    @property
    def mean(self) -> float:
        """The mean distance between its action and the applied one, over components."""
        return self._sum / self._count if self._count else 0.0

    def add(self, reading: Reading, decision: Decision, patience_s: float) -> None:
        """A period: take the answer to the one before, and ask about this one."""
        if self._applied is not None:
            self._compare(self._link.wait(time.monotonic() + patience_s), self._applied)
        self._applied = None
        if reading.starts:
            self._link.reset()
        if reading.obs is not None and np.isfinite(reading.obs).all():
            if self._link.ask(reading.obs) is None:
                self._applied = np.array(decision.action)
            else:
                self.periods, self.late = self.periods + 1, self.late + 1

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {"periods": self.periods, "late": self.late, "largest": self.largest, "mean": self.mean}

    def _compare(self, answer: Any, applied: Float32) -> None:
        self.periods += 1
        if isinstance(answer, tuple):
            self.late += 1
            return
        if not np.isfinite(answer).all():
            self.wrong = f"it answered {answer.tolist()}"
        elif ((answer < self._low - 1e-6) | (answer > self._high + 1e-6)).any():
            self.wrong = f"it answered {answer.tolist()}, out of the actuators' range"
        else:
            apart = float(np.abs(answer - applied).mean())
            self._sum, self._count = self._sum + apart, self._count + 1
            self.largest = max(self.largest, float(np.abs(answer - applied).max()))


class Probation:
    """Counts hand-overs and smallest margins of the release that drives.

    Args:
        names: of the constraints that are watched.
        heard: the baseline drives by order (``mode: shadow``): periods in which the policy is only heard count.

    Attributes:
        periods: in which the release had the plant; while a person or a latch keeps it out it proves nothing.
    """

    def __init__(self, names: Sequence[str], heard: bool = False) -> None:
        self._names, self._heard = names, heard
        self.periods = 0
        self.hand_overs: Counter[str] = Counter()
        self.smallest = [math.inf] * len(names)

    def add(self, decision: Decision, margins: list[float]) -> None:
        """A period."""
        self.periods += self._heard or decision.source == "policy"
        if decision.cause == "person":
            return
        if decision.handed_over:
            self.hand_overs[decision.cause] += 1
        smallest = self.smallest
        for i, margin in enumerate(margins):
            if margin < smallest[i]:
                smallest[i] = margin

    def worse_than(self, last: Probation, most_hand_overs: int, margin_loss: float) -> str:
        """Why this release is to go; empty: it may stay.

        Args:
            last: the release before, while it drove.
            most_hand_overs: that are borne.
            margin_loss: share of the last one's smallest margin that may be lost.
        """
        total = self.hand_overs.total()
        if total > most_hand_overs:
            causes = ", ".join(f"{n} x {cause}" for cause, n in self.hand_overs.items())
            return f"lost the plant {total} times in {self.periods} periods ({causes})"
        if not last.periods:
            return ""
        for name, margin, before in zip(self._names, self.smallest, last.smallest, strict=True):
            if math.isfinite(before) and margin < before - margin_loss * abs(before):
                return f"came closer to {name} than the last one: {margin:.4g}, before {before:.4g}"
        return ""
