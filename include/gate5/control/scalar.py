"""``ScalarBaseline``: a ``PIDBaseline`` for one plant, on plain floats: the same bits, several times sooner."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from math import isfinite

import numpy as np

from gate5.control.channel import Channel
from gate5.control.pid import PIDBaseline
from gate5.plant.base import Float32

_NAN = math.nan
_MOST = sys.float_info.max


class _Curve:
    """``numpy.interp`` at one point: the same formula, so that the last bit is the same.

    Attributes:
        now: where it was read last: index in the observation, the segment's ends, slope, start and value there. A plant
            moves little in a period, so that the next point mostly lies in the same segment: then its value is
            ``slope * (point - start) + value``, and nothing has to be looked up.
    """

    __slots__ = ("_ends", "_segments", "_x", "now")

    def __init__(self, index: int, x: list[float], y: list[float]) -> None:
        self._x = x
        slopes = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)]
        self._segments = [(index, x[i], x[i + 1], slopes[i], x[i], y[i]) for i in range(len(x) - 1)]
        self._ends = (index, -_MOST, x[0], 0.0, x[0], y[0]), (index, x[-1], _MOST, 0.0, x[-1], y[-1])
        self.now = self._ends[0]

    def at(self, value: float) -> float:
        """The value at a point, and from now on the segment that it lies in."""
        x = self._x
        if value != value or value < x[0]:
            self.now = self._ends[0]
            return self.now[5]
        i = bisect_right(x, value) - 1
        if i >= len(self._segments):
            self.now = self._ends[1]
            return self.now[5]
        _, _, _, slope, start, base = self.now = self._segments[i]
        return slope * (value - start) + base


class _Loop:
    """One loop of ``PIDController``, and its place in the observation."""

    def __init__(self, loop: object) -> None:
        self._loop = loop
        pid = loop.pid  # type: ignore[attr-defined]
        self.add = loop.select == "add"  # type: ignore[attr-defined]
        self.least = loop.select == "min"  # type: ignore[attr-defined]
        self._measured, self._wanted = loop._measured, loop._wanted  # type: ignore[attr-defined]
        self._follows, self._setpoint = loop.follows, loop.setpoint  # type: ignore[attr-defined]
        self._schedule = [_curve(curve) for curve in loop._schedule]  # type: ignore[attr-defined]
        self._kp, self._ki, self._kd = float(pid.kp), float(pid.ki), float(pid.kd)
        self._weight, self._bias, self._keep = pid.setpoint_weight, float(pid.bias), pid._keep
        self.dt_s, self.tracking_s = pid.dt_s, pid.tracking_s
        self.reset()

    def reset(self) -> None:
        self.integral = self._slope = self._proposed = self._growth = 0.0
        self._before = self._last = _NAN
        self._valid = True

    def propose(self, obs: list[float]) -> float:
        scale = 1.0
        for curve in self._schedule:
            scale = scale * curve.at(obs[curve.now[0]])
        y = obs[self._measured]
        r = obs[self._wanted] if self._follows else self._setpoint
        self._valid = isfinite(y) and isfinite(r)
        if not self._valid:
            self._proposed = self._last if isfinite(self._last) else self._bias
            self._growth = 0.0
            return self._proposed
        slope = (y - self._before) / self.dt_s
        if not isfinite(slope):
            slope = 0.0
        self._slope = slope = self._keep * self._slope + (1.0 - self._keep) * slope
        proportional = self._kp * (self._weight * r - y)
        proposed: float = self._bias + 0.0 + scale * (proportional - self._kd * slope) + self.integral
        self._proposed = proposed
        self._growth = self._ki * scale * (r - y)
        self._before = y
        return proposed

    def track(self, applied: float, main: float) -> None:
        if self._valid:
            wanted = main if self.add else self._proposed
            step = self.dt_s * self._growth + (self.dt_s / self.tracking_s) * (applied - wanted)
            self.integral = self.integral + step
        self._last = applied


class _Channel:
    """One actuator of ``Channel``."""

    def __init__(self, channel: Channel) -> None:
        self.index, self._bias = channel.index, float(channel.bias)
        self._low, self._high, self._most = channel._low, channel._high, channel._most
        self._feedforward = [_curve(curve) for curve in channel.feedforward]
        self.loops = [_Loop(loop) for loop in channel.loops]
        self._added = [loop for loop in self.loops if loop.add]
        self._others = [loop for loop in self.loops if not loop.add]
        self.reset()

    def reset(self) -> None:
        for loop in self.loops:
            loop.reset()
        self._last, self._main = _NAN, 0.0

    def propose(self, obs: list[float]) -> float:
        main, low, high = self._bias, self._low, self._high
        for curve in self._feedforward:
            index, first, last, slope, start, base = curve.now
            value = obs[index]
            main = main + (slope * (value - start) + base if first <= value < last else curve.at(value))
        for loop in self._added:
            main = main + loop.propose(obs)
        self._main = main
        output = low if main < low else high if main > high else main
        for loop in self._others:
            other = loop.propose(obs)
            output = min(output, other) if loop.least else max(output, other)
        if self._most is not None and isfinite(self._last):
            output = _clip(output, self._last - self._most, self._last + self._most)
        return low if output < low else high if output > high else output

    def track(self, applied: float) -> None:
        main = self._main
        for loop in self.loops:
            loop.track(applied, main)
        self._last = applied


class ScalarBaseline:
    """As ``PIDBaseline`` for a batch of one; its state is its own.

    Args:
        baseline: whose loops it has.
    """

    def __init__(self, baseline: PIDBaseline) -> None:
        self.channels = [_Channel(channel) for channel in baseline.channels]
        self._size = len(baseline.action_low)

    def reset(self, batch: int = 1) -> None:
        """Forget the past."""
        for channel in self.channels:
            channel.reset()

    def propose(self, obs: Float32) -> Float32:
        """The action float32 ``[act_dim]`` for one observation ``[obs_dim]``; ``track`` has to follow."""
        return np.array(self.values(obs.tolist()), np.float32)

    def values(self, obs: list[float]) -> list[float]:
        """As ``propose``, on plain floats, which are not rounded to float32 yet."""
        action = [0.0] * self._size
        for channel in self.channels:
            action[channel.index] = channel.propose(obs)
        return action

    def track(self, applied: Float32) -> None:
        """Say what the plant received."""
        self.follow(applied.tolist())

    def follow(self, applied: list[float]) -> None:
        """As ``track``, on plain floats."""
        for channel in self.channels:
            channel.track(applied[channel.index])


def _curve(curve: object) -> _Curve:
    return _Curve(curve._index, curve._x.tolist(), curve.y.tolist())  # type: ignore[attr-defined]


def _clip(value: float, low: float, high: float) -> float:
    return low if value < low else high if value > high else value
