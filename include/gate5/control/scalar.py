"""``ScalarBaseline``: a ``PIDBaseline`` for one plant, on plain floats: the same bits, several times sooner."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from gate5.control.channel import Channel
from gate5.control.pid import PIDBaseline
from gate5.plant.base import Float32

_NAN = math.nan


class _Curve:
    """``numpy.interp`` at one point: the same formula, so that the last bit is the same."""

    __slots__ = ("_first", "_index", "_last", "_slopes", "_x", "_y")

    def __init__(self, index: int, x: list[float], y: list[float]) -> None:
        self._index, self._x, self._y = index, x, y
        self._first, self._last = y[0], y[-1]
        self._slopes = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)]

    def at(self, obs: list[float]) -> float:
        value = obs[self._index]
        x = self._x
        if value != value or value < x[0]:
            return self._first
        i = bisect_right(x, value) - 1
        if i >= len(x) - 1:
            return self._last
        return self._slopes[i] * (value - x[i]) + self._y[i]


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
            scale = scale * curve.at(obs)
        y = obs[self._measured]
        r = obs[self._wanted] if self._follows else self._setpoint
        self._valid = math.isfinite(y) and math.isfinite(r)
        if not self._valid:
            self._proposed = self._last if math.isfinite(self._last) else self._bias
            self._growth = 0.0
            return self._proposed
        slope = (y - self._before) / self.dt_s
        if not math.isfinite(slope):
            slope = 0.0
        self._slope = self._keep * self._slope + (1.0 - self._keep) * slope
        proportional = self._kp * (self._weight * r - y)
        self._proposed = self._bias + 0.0 + scale * (proportional - self._kd * self._slope) + self.integral
        self._growth = self._ki * scale * (r - y)
        self._before = y
        return self._proposed

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
        self.reset()

    def reset(self) -> None:
        for loop in self.loops:
            loop.reset()
        self._last, self._main = _NAN, 0.0

    def propose(self, obs: list[float]) -> float:
        main = self._bias
        for curve in self._feedforward:
            main = main + curve.at(obs)
        for loop in self.loops:
            if loop.add:
                main = main + loop.propose(obs)
        self._main = main
        output = _clip(main, self._low, self._high)
        for loop in self.loops:
            if not loop.add:
                other = loop.propose(obs)
                output = min(output, other) if loop.least else max(output, other)
        if self._most is not None and math.isfinite(self._last):
            output = _clip(output, self._last - self._most, self._last + self._most)
        return _clip(output, self._low, self._high)

    def track(self, applied: float) -> None:
        for loop in self.loops:
            loop.track(applied, self._main)
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
        values = obs.tolist()
        action = [0.0] * self._size
        for channel in self.channels:
            action[channel.index] = channel.propose(values)
        return np.array(action, np.float32)

    def track(self, applied: Float32) -> None:
        """Say what the plant received."""
        values = applied.tolist()
        for channel in self.channels:
            channel.track(values[channel.index])


def _curve(curve: object) -> _Curve:
    return _Curve(curve._index, curve._x.tolist(), curve.y.tolist())  # type: ignore[attr-defined]


def _clip(value: float, low: float, high: float) -> float:
    return low if value < low else high if value > high else value
