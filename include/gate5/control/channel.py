"""``Channel``: one actuator of a baseline: feedforward, added loops, overrides, range and rate."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gate5.control.controller import PIDController
from gate5.control.gains import ChannelGains, LoopGains, Table
from gate5.errors import ConfigError
from gate5.plant.base import Float64


class Channel:
    """One actuator: feedforward, added loops, overrides."""

    def __init__(self, gains: ChannelGains, index: int, dt_s: float, names: list[str], low: float, high: float) -> None:
        self.index = index
        self.bias: Any = gains.bias
        self._low, self._high = max(gains.low, low), min(gains.high, high)
        if not self._low < self._high:
            raise ConfigError(
                f"The PID channel {gains.action!r} has the range {gains.low} to {gains.high}, "
                f"which leaves nothing of the plant's {low} to {high}."
            )
        self._most = None if gains.rate is None else gains.rate * dt_s
        self.feedforward = [_Curve(table, names) for table in gains.feedforward]
        self.loops = [_Loop(loop, dt_s, names) for loop in gains.loops]
        self.reset(1)

    def reset(self, batch: int) -> None:
        for loop in self.loops:
            loop.pid.reset(batch)
        self._last: Float64 = np.full(batch, np.nan)
        self._main: Float64 = np.zeros(batch)

    def propose(self, obs: Float64) -> Float64:
        main = np.full(obs.shape[0], self.bias)
        for curve in self.feedforward:
            main = main + curve(obs)
        for loop in self.loops:
            if loop.select == "add":
                main = main + loop.propose(obs)
        self._main = main
        output = np.clip(main, self._low, self._high)
        for loop in self.loops:
            if loop.select == "min":
                output = np.minimum(output, loop.propose(obs))
            elif loop.select == "max":
                output = np.maximum(output, loop.propose(obs))
        if self._most is not None:
            last = np.where(np.isfinite(self._last), self._last, output)
            output = np.clip(output, last - self._most, last + self._most)
        limited: Float64 = np.clip(output, self._low, self._high)
        return limited

    def track(self, applied: Float64) -> None:
        for loop in self.loops:
            loop.pid.track(applied, self._main if loop.select == "add" else None)
        self._last = np.array(applied)


class _Loop:
    """A PID controller with the places of its inputs in the observation."""

    def __init__(self, gains: LoopGains, dt_s: float, names: list[str]) -> None:
        self.select = gains.select
        self._measured = _observation_index(gains.measurement, names)
        self.setpoint: Any = gains.setpoint
        self.follows = isinstance(gains.setpoint, str)
        self._wanted = _observation_index(gains.setpoint, names) if isinstance(gains.setpoint, str) else -1
        self._schedule = [_Curve(table, names) for table in gains.schedule]
        self.pid = PIDController(
            gains.kp, gains.ki, gains.kd, dt_s=dt_s, setpoint_weight=gains.setpoint_weight, bias=gains.bias,
            derivative_filter_s=gains.derivative_filter_s, tracking_s=gains.tracking_s, low=-np.inf, high=np.inf,
        )  # fmt: skip

    def propose(self, obs: Float64) -> Float64:
        scale: Float64 = np.ones(obs.shape[0])
        for curve in self._schedule:
            scale = scale * curve(obs)
        setpoint: Any = obs[:, self._wanted] if self.follows else self.setpoint
        return self.pid.propose(obs[:, self._measured], setpoint, scale=scale)


class _Curve:
    """A ``Table`` bound to its place in the observation."""

    def __init__(self, table: Table, names: list[str]) -> None:
        self._index = _observation_index(table.observation, names)
        self._x: NDArray[np.float64] = np.array([x for x, _ in table.points])
        self.y: NDArray[np.float64] = np.array([y for _, y in table.points])  # or [B, points], a row per episode

    def __call__(self, obs: Float64) -> Float64:
        at = obs[:, self._index]
        if self.y.ndim == 1:
            value = np.interp(at, self._x, self.y)
            return np.asarray(np.where(np.isfinite(value), value, self.y[0]), dtype=np.float64)
        if self._x.size == 1:
            return self.y[:, 0]
        rows = np.arange(at.size)
        i = np.clip(np.searchsorted(self._x, at, side="right") - 1, 0, self._x.size - 2)
        share = np.clip((at - self._x[i]) / (self._x[i + 1] - self._x[i]), 0.0, 1.0)
        value = self.y[rows, i] + share * (self.y[rows, i + 1] - self.y[rows, i])
        return np.asarray(np.where(np.isfinite(value), value, self.y[:, 0]), dtype=np.float64)


def _observation_index(name: str, names: list[str]) -> int:
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}."
    raise ConfigError(f"The PID gains read the observation {name!r}, which the plant does not have: {hint}")
