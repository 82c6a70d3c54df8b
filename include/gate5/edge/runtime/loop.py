"""``drive``: the control loop at the plant's period, around a ``PolicyRuntime`` and a binding."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from gate5.edge.runtime.bindings.base import Binding
from gate5.edge.runtime.decision import Decision, Reading
from gate5.edge.runtime.supervisor import PolicyRuntime
from gate5.plant.base import Float32

#: Of a period, what follows the engine's answer needs: the checks, writing, counting.
REST_SHARE, MOST_REST_S = 0.1, 0.01
#: Called after each period; must be quick and must not raise.
Observer = Callable[[Reading, Decision], None]


@dataclass
class Tally:
    """What a run came to.

    Attributes:
        periods: control periods.
        policy, baseline, safe: periods by who drove.
        hand_overs: by cause, each time that the policy drove until then.
        causes: periods by cause.
        missed: periods that ended later than they should have.
        missed_by: of them, by what took most of the time: ``woken_late`` (the sleep before it, or whatever ran
            instead), ``own_work``, ``engine`` (the wait for its answer), ``the_one_before`` (which had ended late).
        largest_jump: of each actuator at a hand-over, ``[act_dim]``.
        smallest_margin: of each constraint that is observed.
    """

    periods: int = 0
    policy: int = 0
    baseline: int = 0
    safe: int = 0
    hand_overs: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    missed_by: Counter[str] = field(default_factory=Counter)
    largest_jump: Float32 | None = None
    smallest_margin: list[float] | None = None
    overhead_ns: Counter[int] = field(default_factory=Counter)
    _before: Float32 | None = None

    def add(self, decision: Decision, margins: list[float]) -> None:
        """Count a period."""
        self.periods += 1
        if decision.source == "policy":
            self.policy += 1
        elif decision.source == "baseline":
            self.baseline += 1
        else:
            self.safe += 1
        if decision.cause:
            self.causes[decision.cause] += 1
        if decision.handed_over:
            self.hand_overs[decision.cause] += 1
            if self._before is not None:
                jump = np.abs(decision.action - self._before)
                self.largest_jump = jump if self.largest_jump is None else np.maximum(jump, self.largest_jump)
        self._before = decision.action if decision.applies else self._before
        smallest = self.smallest_margin
        if smallest is None:
            smallest = self.smallest_margin = [math.inf] * len(margins)
        for i, margin in enumerate(margins):
            if margin < smallest[i]:
                smallest[i] = margin
        self.overhead_ns[decision.overhead_ns // 1000] += 1  # in microseconds, so that memory stays bounded

    def overhead_us(self, share: float) -> float:
        """A quantile of the supervisor's time in a period, the wait for the engine left out, in microseconds."""
        total, seen = sum(self.overhead_ns.values()), 0
        for value in sorted(self.overhead_ns):
            seen += self.overhead_ns[value]
            if seen >= share * total:
                return float(value)
        return 0.0

    def to_dict(self, margin_names: Sequence[str]) -> dict[str, Any]:
        """As plain JSON types."""
        margins = self.smallest_margin or []
        return {
            "periods": self.periods, "policy": self.policy, "baseline": self.baseline, "safe": self.safe,
            "hand_overs": dict(self.hand_overs), "causes": dict(self.causes), "missed": self.missed,
            "missed_by": dict(self.missed_by),
            "largest_jump": None if self.largest_jump is None else self.largest_jump.tolist(),
            "smallest_margin": {n: m for n, m in zip(margin_names, margins, strict=False) if math.isfinite(m)},
            "overhead_us": {"p50": self.overhead_us(0.5), "p99": self.overhead_us(0.99)},
        }  # fmt: skip


def sleep_until(due: float, early_s: float, rehearse: Callable[[], None] | None = None) -> None:
    """Until ``due`` (``time.monotonic``), awake for the last ``early_s``, in which there is time for a rehearsal."""
    left = due - time.monotonic() - early_s
    if left > 0.0:
        time.sleep(left)
        if rehearse is not None:
            rehearse()
    while early_s and time.monotonic() < due:
        pass


def drive(
    runtime: PolicyRuntime,
    binding: Binding,
    *,
    speed: float = 1.0,
    periods: int | None = None,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
    between: Callable[[], None] = lambda: None,
    early_s: float = 0.0,
    rehearse: Callable[[Reading], None] | None = None,
) -> Tally:
    """Read, decide, write, once a period, until the plant wants no more or ``stop`` says so.

    At the plant's own clock a period that began late waits less for the engine, so that it does not end late.

    Args:
        speed: faster than the plant's clock (a simulator's alone); ``inf``: without a pause.
        periods: at most so many.
        observers: told of every period after its action was written.
        between: called after them, in what is left of the period (orders of a person, another release).
        early_s: so long before the next period it wakes and watches the clock: a CPU that has slept is slow at first.
        rehearse: called then, with the last reading; must not raise.
    """
    tally = Tally()
    period = runtime.period_s / speed
    rest = min(REST_SHARE * period, MOST_REST_S)
    due, late = time.monotonic(), False
    while (periods is None or tally.periods < periods) and not stop():
        began = time.monotonic()
        reading = binding.read()
        if reading.ends:
            break
        decision = runtime.step(reading, due + period - rest if speed == 1.0 else math.inf)
        if decision.applies:
            binding.write(decision.action)
        decision.missed = late
        tally.add(decision, runtime.margins.margins)
        for observer in observers:
            try:
                observer(reading, decision)
            except Exception:  # noqa: BLE001, S112 - whatever watches must not end the control of a plant
                continue
        between()
        if period <= 0.0:
            continue
        due += period
        left = due - time.monotonic()
        if left >= 0.0:
            late = False
            sleep_until(due, early_s, None if rehearse is None else partial(rehearse, reading))
            continue
        tally.missed += 1
        tally.missed_by[_cause(late, began - due + period, decision.waited_ns / 1e9, period - left)] += 1
        late = True
        if left < -period:
            due = time.monotonic()  # the plant's clock goes on: do not catch up with a burst
    return tally


def _cause(late: bool, woken: float, waited: float, whole: float) -> str:
    """What took most of a period that ended late; all in seconds since it was due."""
    if late:
        return "the_one_before"
    parts = {"woken_late": woken, "engine": waited, "own_work": whole - woken - waited}
    return max(parts, key=lambda name: parts[name])
