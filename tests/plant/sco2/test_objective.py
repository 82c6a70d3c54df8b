"""The objective's terms are what docs/plant.md derives, and a controller that disobeys pays for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gate5.control import PIDBaseline, parse_gains
from gate5.control.closed_loop import QuickScore, pairs, quick
from gate5.plant.base import Float32, objective
from gate5.plant.sco2 import SCO2Plant
from gate5.plant.sco2.objective import RATED_REVENUE


class Offset:
    """A controller that aims beside its set-points: it reads observations with an offset on some components."""

    def __init__(self, inner: PIDBaseline, names: tuple[str, ...], offsets: dict[str, float]) -> None:
        self._inner, self._names, self._offsets = inner, names, offsets

    def reset(self, batch: int) -> None:
        self._inner.reset(batch)

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        moved = np.array(obs)
        for name, by in self._offsets.items():
            moved[:, self._names.index(name)] += by
        return self._inner.predict(moved)


def driven(offsets: dict[str, float], only: tuple[str, ...] = ()) -> QuickScore:
    plant = SCO2Plant()
    space, actions = plant.observation_space, plant.action_space
    gains = plant.baseline_gains()
    assert gains is not None
    pid = PIDBaseline(parse_gains(gains), space.names, actions.low, actions.high, actions.names)
    names, seeds = pairs(plant, 4, 20_000)
    if only:
        seeds = [s for n, s in zip(names, seeds, strict=True) if n in only]
        names = [n for n in names if n in only]
    return quick(plant, Offset(pid, space.names, offsets), names, seeds)


@pytest.mark.parametrize("by", [(40.0, 0.2), (5.9, 0.039), (-20.0, 0.0), (0.0, -0.2)])
def test_a_pid_beside_its_set_points_gains_nothing(by: tuple[float, float]) -> None:
    """With the specification's reward a PID 40 C too hot and 0.2 MW too high gained 0.29 %."""
    hot, more = by
    level = ("steady_state", "load_following", "ambient_disturbance", "load_rejection")
    honest = driven({}, level)
    moved = driven(
        {"turbine_inlet_temperature_setpoint": hot, "net_power_setpoint": more, "net_power_error": more}, level
    )
    for name, returns in moved.by_scenario(moved.returns).items():
        assert returns.mean() < honest.by_scenario(honest.returns)[name].mean(), name


def test_the_reward_is_one_less_the_costs() -> None:
    plant = SCO2Plant()
    plant.reset("load_following", [3, 4])
    plant.step(np.zeros((2, 4), np.float32))
    step = plant.step(np.ones((2, 4), np.float32))
    costs = sum(t.weight * step.variables[t.variable] for t in objective(plant))
    assert step.reward == pytest.approx(1.0 - costs / RATED_REVENUE, rel=1e-12)


def test_creep_follows_larson_and_miller() -> None:
    """At 740 C the life of 100,000 h at 700 C is 24,329 / 1013.15 - 20 = 4.013 decades, 10,310 h."""
    from gate5.plant.sco2.objective import _creep
    from gate5.plant.sco2.ops import ArrayOps, FloatOps

    life = 10 ** (25.0 * 973.15 / 1013.15 - 20.0)
    at = np.array([600.0, 700.0, 740.0])
    found: Any = _creep(at, ArrayOps())
    assert found == pytest.approx([0.0, 0.0, 1e5 / life - 1.0], rel=0.005)
    assert [_creep(float(t), FloatOps()) for t in at] == found.tolist()


def test_a_start_by_the_programme_is_one_start() -> None:
    """The start-up programme, 500 C in 30 min, held by the casing is one equivalent start."""
    from gate5.plant.sco2.objective import START_C2_PER_MIN

    rate = 500.0 / 30.0
    assert rate**2 * (60.0 / START_C2_PER_MIN) * 0.5 == pytest.approx(1.0)
