"""Overshoot and settling time, where a set-point makes a step or a ramp that ends and then holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gate5.evaluation.statistics import mean
from gate5.io.canonical import number
from gate5.plant.base import Bool, Float64

BAND = 0.02
LEAST_CHANGE = 0.05
HOLD_S = 60.0
STAY_S = 30.0


@dataclass(frozen=True)
class Change:
    """A step or ramp of the set-point from ``start`` to ``final``; indices of one episode's steps.

    Attributes:
        begin, end: the first step with a moved set-point, and the first with the final one (equal: a step).
        last: the last step at which the set-point is ``final``.
    """

    begin: int
    end: int
    last: int
    start: float
    final: float


@dataclass(frozen=True)
class StepResponse:
    """How a variable answered changes of its set-point, over the episodes that have one (``largest_change``).

    With set-point ``w``, its change ``d = w_final - w_start`` and the variable ``y``, in each such episode:

    overshoot: ``max(0, max((y - w_final) * sign(d)))`` from the change's begin to the end of the hold, in the
        variable's unit; in percent, ``100 * overshoot / abs(d)``.
    settling time: seconds from the end of the change (the first step with ``w_final``) to the first step from which
        ``abs(y - w_final) <= 0.02 * abs(d)`` to the end of the hold (the usual 2 % band); the episode counts as not
        settled where less than 30 s of such steps are left.

    Attributes:
        episodes: in which a change made the numbers meaningful.
        overshoot_mean, overshoot_worst, overshoot_percent_mean, overshoot_percent_worst: over those episodes; ``None``:
            the variable is not finite in one of them.
        settled_episodes: those that settled.
        settling_mean_s: over the episodes that settled; ``None``: none did.
        settling_worst_s: the longest; ``None``: an episode did not settle.
    """

    episodes: int
    overshoot_mean: float | None
    overshoot_worst: float | None
    overshoot_percent_mean: float | None
    overshoot_percent_worst: float | None
    settled_episodes: int
    settling_mean_s: float | None
    settling_worst_s: float | None

    def metrics(self) -> dict[str, float | None]:
        """Flat numbers for the gate, without a prefix; a settling time is infinite where an episode did not settle."""
        settled = self.settled_episodes == self.episodes
        return {
            "step_episodes": float(self.episodes),
            "overshoot_mean": _or_infinite(self.overshoot_mean),
            "overshoot_worst": _or_infinite(self.overshoot_worst),
            "overshoot_percent_mean": _or_infinite(self.overshoot_percent_mean),
            "overshoot_percent_worst": _or_infinite(self.overshoot_percent_worst),
            "settled_episodes": float(self.settled_episodes),
            "settling_mean_s": _or_infinite(self.settling_mean_s if settled else None),
            "settling_worst_s": _or_infinite(self.settling_worst_s),
        }


def no_metrics() -> dict[str, float | None]:
    """The names of ``StepResponse.metrics`` where no change of the set-point makes them meaningful."""
    names = StepResponse(1, None, None, None, None, 1, None, None).metrics()
    return {**dict.fromkeys(names), "step_episodes": 0.0}


def step_response(values: Float64, setpoint: Float64, live: Bool, dt_s: float) -> StepResponse | None:
    """The response over all episodes; ``None``: no episode has a change that makes it meaningful.

    Args:
        values, setpoint: ``[T, B]``; entry ``[t, b]`` is what step ``t`` ended in.
        live: bool ``[T, B]``, true up to each episode's end.
        dt_s: the control step in seconds.
    """
    over, percent, settling = [], [], []
    for b in range(live.shape[1]):
        n = int(live[:, b].sum())
        change = largest_change(setpoint[:n, b], dt_s)
        if change is None:
            continue
        excess = overshoot(values[:n, b], change)
        over.append(excess)
        percent.append(100.0 * excess / abs(change.final - change.start))
        settling.append(settling_time(values[:n, b], change, dt_s))
    if not over:
        return None
    settled = [time for time in settling if time is not None]
    # np.max carries a NaN on, so that an episode with one cannot pass for a good one
    return StepResponse(
        episodes=len(over),
        overshoot_mean=number(float(np.mean(over))),
        overshoot_worst=number(float(np.max(over))),
        overshoot_percent_mean=number(float(np.mean(percent))),
        overshoot_percent_worst=number(float(np.max(percent))),
        settled_episodes=len(settled),
        settling_mean_s=mean(settled),
        settling_worst_s=max(settled) if len(settled) == len(settling) else None,
    )


def largest_change(setpoint: Float64, dt_s: float) -> Change | None:
    """The largest step or ramp of one episode's set-point ``[T]`` after which it holds; the first of equal ones.

    A change is a stretch of moves in one direction with no 60 s of rest in it; it counts where the set-point then rests
    for 60 s at least, and where it is at least 5 % of the largest absolute set-point of the episode. Moves of less than
    1e-9 of that are rest. ``None``: there is no such change, or the set-point is not finite somewhere. A set-point that
    changes before the first step's end cannot be seen.
    """
    largest = float(np.max(np.abs(setpoint), initial=0.0))
    if not np.isfinite(largest):
        return None
    steps = np.diff(setpoint)
    moves = np.flatnonzero(np.abs(steps) > 1e-9 * largest) + 1
    if not moves.size:
        return None
    lasts = np.append(moves[1:], setpoint.size) - 1
    rests = (lasts - moves) * dt_s >= HOLD_S
    direction = np.sign(steps[moves - 1])
    opens = np.append(True, rests[:-1] | (direction[1:] != direction[:-1]))
    first = moves[np.flatnonzero(opens)[np.cumsum(opens) - 1]]
    size = np.where(rests, np.abs(setpoint[moves] - setpoint[first - 1]), 0.0)
    i = int(np.argmax(size))
    if not rests[i] or size[i] < LEAST_CHANGE * largest:
        return None
    begin, end, last = int(first[i]), int(moves[i]), int(lasts[i])
    return Change(begin, end, last, float(setpoint[begin - 1]), float(setpoint[end]))


def overshoot(values: Float64, change: Change) -> float:
    """The largest excursion of ``[T]`` beyond the final set-point in the direction of the change; not below 0."""
    direction = np.sign(change.final - change.start)
    beyond = (values[change.begin : change.last + 1] - change.final) * direction
    return float(np.maximum(np.max(beyond), 0.0))


def settling_time(values: Float64, change: Change, dt_s: float) -> float | None:
    """Seconds from the change's end until ``[T]`` stays in the 2 % band; ``None``: it never does."""
    held = values[change.end : change.last + 1]
    inside = np.abs(held - change.final) <= BAND * abs(change.final - change.start)
    outside = np.flatnonzero(~inside)  # NaN is outside
    first = int(outside[-1]) + 1 if outside.size else 0
    return first * dt_s if (held.size - 1 - first) * dt_s >= STAY_S else None


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value
