"""``TorchPlant``: the plant and its observer on torch tensors, with gradients of all that it reports.

The equations are the plant's own (``model``, ``report``, ``objective``); only the observer is written again, and a test
holds it and the whole to the NumPy plant over episodes of every scenario.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gate5.plant.sco2 import design, observer
from gate5.plant.sco2.cycle import Health
from gate5.plant.sco2.model import Inputs, Outputs, State, advance, evaluate, spin
from gate5.plant.sco2.objective import reward
from gate5.plant.sco2.observer import READINGS, Observer
from gate5.plant.sco2.parameters import ACTUATORS, DT_S, Parameters
from gate5.plant.sco2.report import report
from gate5.plant.sco2.torch_ops import TorchOps


class TorchPlant:
    """Steps a batch of windows of episodes; each begins where a NumPy batch stood.

    Args:
        parameters: the plant's.
        raw: which of the variables the observation shows, in its order; the observer computes the rest.
    """

    def __init__(self, parameters: Parameters, raw: Sequence[str]) -> None:
        import torch

        self._torch: Any = torch
        self._raw = tuple(raw)
        self._ops = TorchOps()
        self._cycle = design.cycle(parameters, self._ops)
        self._ranges = self._column([a.high - a.low for a in ACTUATORS])
        self.observer = TorchObserver(Observer(parameters))

    def begin(self, memory: Sequence[Any], past: Sequence[Any], condition: Any, inputs: Any) -> None:
        """Take up windows.

        Args:
            memory, condition: as ``ArrayBatch.standing`` gives them.
            past: as ``Observer.past`` gives it.
            inputs: at which they stand, ``[8, W]``.
        """
        self._state = State(*[*(value[0] for value in memory[:-1]), memory[-1]])
        self._past, self._health = tuple(past), Health(*condition)
        self._outputs: Outputs = evaluate(self._cycle, self._state, Inputs(*inputs), self._health)

    @property
    def memory(self) -> list[Any]:
        """The states as they now stand, as ``begin`` takes them."""
        return [*(value[None] for value in self._state[:-1]), self._state.actuators]

    @property
    def past(self) -> tuple[Any, ...]:
        """The observer's past as it now stands."""
        return self._past

    def step(self, wanted: Any, inputs: Any) -> dict[str, Any]:
        """Advance by one control step.

        Args:
            wanted: actions in [-1, 1], ``[4, W]``.
            inputs: of the new step, ``[8, W]``.

        Returns:
            The declared variables ``[W]``, and besides them ``reward`` (before any end) and ``valid``.
        """
        old, u = self._state, Inputs(*inputs)
        actuators = self._ops.move(old.actuators, wanted.clamp(-1.0, 1.0))
        new, middle = advance(self._cycle, old, self._outputs, u, actuators, self._health)
        with self._torch.no_grad():  # nothing depends on the rotor, and the root of a standing one has no slope
            speed = spin(self._cycle, old, self._outputs, u)
        self._state = new = new._replace(speed=speed)
        self._outputs = evaluate(self._cycle, new, u, self._health)
        values = report(new, u, self._outputs, (new.actuators - old.actuators) / self._ranges, self._ops)
        return {**values, "reward": reward(values), "valid": self._outputs.valid & middle.y.valid}

    def rows(self, values: Mapping[str, Any]) -> Any:
        """What sensors would show of a step's variables, before the observer, ``[obs_dim, W]``."""
        shown = self._torch.stack([values[name] for name in self._raw])
        missing = len(READINGS) - len(self._raw)
        return self._torch.cat([shown, shown.new_zeros((missing, shown.shape[1]))])

    def observe(self, rows: Any) -> Any:
        """The observation that follows from readings ``[obs_dim, W]``, one control step after the one before."""
        rows, *past = self.observer.update(rows, *self._past)
        self._past = tuple(past)
        return rows

    def _column(self, values: Any) -> Any:
        return self._torch.tensor(np.asarray(values), dtype=self._torch.float64)[:, None]


class TorchObserver:
    """``Observer.update`` without writing in place, its memory given and returned."""

    def __init__(self, like: Observer) -> None:
        import torch

        self._torch: Any = torch
        self._like, self._at = like, like.at
        self._low, self._high, self._keep, self._unit = (
            torch.from_numpy(np.array(values)) for values in (like.low, like.high, like.keep, like.unit)
        )
        self._near, self._sense, self._least, self._most = (
            torch.from_numpy(np.array(values))
            for values in (observer.NEAR, observer.SENSE, observer.LEAST, observer.MOST)
        )

    def update(self, rows: Any, slope: Any, before: Any, integral: Any) -> tuple[Any, Any, Any, Any]:
        at: Any = self._at
        torch = self._torch
        rows = self._clip(rows)
        source = rows[self._like.sources]
        slope = self._keep * slope + (1.0 - self._keep) * ((source - before) * self._unit)
        error = rows[at["net_power_setpoint"]] - rows[at["net_power"]]
        speed = (rows[at["compressor_speed"]] * rows[at["compressor_inlet_density"]]).clamp(min=1e-3)
        surge = rows[at["mass_flow"]] * self._like.velocity / speed - 1.0
        hot = rows[at["turbine_inlet_temperature_setpoint"]] - rows[at["turbine_inlet_temperature"]]
        inlet = observer.INLET_AIM_C - rows[at["compressor_inlet_temperature"]]
        errors = torch.stack([error * rows[at["breaker_closed"]], hot, inlet])
        with torch.no_grad():
            command = rows[[at[name] for name in observer.INTEGRATED]]
            pushing = errors * self._sense
            stuck = ((command >= self._most) & (pushing > 0.0)) | ((command <= self._least) & (pushing < 0.0))
            runs = ((errors.abs() < self._near) & ~stuck).to(torch.float64) * DT_S
        integral = self._clip(integral + runs * errors, slice(-3, None))
        parts = list(rows.unbind(0))
        for place, row in zip(self._like.targets, slope.unbind(0), strict=True):
            parts[place] = row
        parts[at["net_power_error"]], parts[at["surge_margin"]], parts[at["turbine_inlet_error"]] = error, surge, hot
        parts[-3:] = integral.unbind(0)
        return self._clip(torch.stack(parts)), slope, source, integral

    def _clip(self, rows: Any, part: slice = slice(None)) -> Any:
        return self._torch.minimum(self._torch.maximum(rows, self._low[part]), self._high[part])
