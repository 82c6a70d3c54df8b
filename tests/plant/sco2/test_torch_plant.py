"""The plant on torch tensors is the NumPy plant: whole episodes of every scenario, gradients against differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.errors import PlantError
from gate5.plant.base import Scenario
from gate5.plant.perturbation import Perturbation
from gate5.plant.perturbed import PerturbedPlant
from gate5.plant.sco2 import SCO2Plant
from gate5.train.windows import Loop, record

torch = pytest.importorskip("torch")

RANGE = (SCO2Plant().observation_space.high - SCO2Plant().observation_space.low)[:, None]
EXPECTED = (Perturbation("lag"), Perturbation("noise"), Perturbation("bias"), Perturbation("delay", chance=0.5))


def test_whole_episodes_of_every_scenario_are_those_of_the_numpy_plant() -> None:
    """The PID drives the one behind its instruments, and what it did drives the other."""
    sco2 = SCO2Plant()
    plant = PerturbedPlant(sco2, EXPECTED)
    pid = open_baseline(BaselineConfig(), plant)
    assert pid is not None
    names = list(plant.scenarios)
    obs = plant.reset_mixed(names, range(3, 3 + len(names)))
    pid.reset(len(names))
    twin, off, rounded = sco2.differentiable(), 0.0, 0.0
    standing, instruments = plant.standing[0], plant.readings
    memory, past, condition = (_tensors(v) for v in (standing.memory, instruments.past, standing.condition))
    inputs = torch.from_numpy(standing.inputs.transpose(1, 2, 0).copy())
    twin.begin(memory, past, condition, inputs[0])
    slow, live = torch.from_numpy(instruments.slow.copy()), np.ones(len(names), dtype=bool)
    steps = np.array([s.steps for s in plant.scenarios.values()])
    with torch.no_grad():
        for k in range(steps.max()):
            action = pid.predict(obs)[0]
            step = plant.step(action)
            obs, live = step.obs, k < steps
            assert not step.terminated.any()
            values = twin.step(torch.from_numpy(action.T.astype(np.float64)), inputs[k + 1])
            off = max(off, _apart(step.variables, values, live), _most(values["reward"].numpy() - step.reward, live))
            assert values["valid"][live].all()
            instruments = plant.readings
            slow += torch.from_numpy(instruments.share) * (twin.rows(values) - slow)
            readings = twin.observe(slow + torch.from_numpy(instruments.added)).numpy()
            seen = plant.standing[1][0].T
            rounded = max(rounded, float((np.abs(readings - seen) / RANGE)[:, live].max()))
    assert off < 1e-9
    assert rounded < 1e-5  # of a range: an integral of what float32 has rounded


def _most(apart: Any, live: Any) -> float:
    return float(np.abs(apart)[live].max())


def _tensors(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return torch.from_numpy(values.copy())
    return [torch.from_numpy(np.array(v)) for v in values]


def _apart(ours: Mapping[str, Any], theirs: Mapping[str, Any], live: Any) -> float:
    """The largest difference over all variables, relative to the size of each or to one."""
    worst = 0.0
    for name, value in ours.items():
        other = theirs[name].numpy()
        worst = max(worst, _most((other - value) / np.maximum(np.abs(value), 1.0), live))
    return worst


def test_the_observer_on_tensors_is_the_observer() -> None:
    plant = SCO2Plant()
    ours, theirs = plant.observer(), plant.differentiable()
    assert ours is not None
    random = np.random.default_rng(1)
    middle = 0.5 * (plant.observation_space.high + plant.observation_space.low)[:, None].astype(float)
    rows = middle + 0.1 * RANGE * random.standard_normal((len(middle), 5))
    ours.reset(5)
    ours.update(rows.copy())
    past = _tensors(list(ours.past))
    for _ in range(200):
        rows = rows + 0.05 * RANGE * random.standard_normal(rows.shape) - 0.1 * (rows - middle)
        expected = ours.update(rows.copy())
        found, *past = theirs.observer.update(torch.from_numpy(rows), *past)
        assert np.max(np.abs(found.numpy() - expected) / RANGE) < 1e-12


class OneScenario(SCO2Plant):
    """Short episodes of one scenario, so that whole episodes are cheap."""

    scenarios: Mapping[str, Scenario] = {"steady_state": SCO2Plant().scenarios["steady_state"]}


class Law:
    """A proportional law that moves every actuator, with an offset on all of them."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset

    def reset(self, batch: int) -> None:
        pass

    def predict(self, obs: Any) -> tuple[Any, None]:
        action = _linear(np.asarray(obs, dtype=np.float64)) + self._offset
        return np.clip(action, -1.0, 1.0).astype(np.float32), None


def _linear(obs: Any) -> Any:
    power, hot, inlet, low = obs[:, 3], obs[:, 30], obs[:, 6], obs[:, 8]
    stack = np.stack if isinstance(obs, np.ndarray) else torch.stack
    return stack(
        [0.3 * hot / 10.0, 0.22 + power / 5.0, -0.4 + 0.5 * (7.6 - low), -0.3 + (inlet - 33.2) + 0.1 * power], 1
    )


def test_windows_drive_what_the_rollout_drove_and_their_gradient_is_the_difference() -> None:
    """One parameter, an offset of all actions: forward differences of the NumPy plant against back-propagation."""
    sco2 = OneScenario()
    plant = PerturbedPlant(sco2, EXPECTED)
    windows = record(plant, Law(), ["steady_state"] * 3, [5, 6, 7], 50)
    assert windows.rewards.shape == (50, 9)
    assert windows.live.sum() == 3 * 120
    offset = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loop = Loop(sco2.differentiable(), windows, [torch.from_numpy(v) for v in windows.start])
    rewards = []
    for k in range(loop.steps):
        rewards.append(loop.step(k, _linear(loop.seen.T).T + offset)["reward"])
    found = torch.stack(rewards)
    assert np.abs(found.detach().numpy() - windows.rewards)[windows.live].max() < 1e-5
    first = found[:, :3].sum()  # windows that begin with the episode: there the NumPy plant can be asked
    (slope,) = torch.autograd.grad(first, offset)
    sums = [record(plant, Law(d), ["steady_state"] * 3, [5, 6, 7], 50).rewards[:, :3].sum() for d in (-1e-3, 1e-3)]
    assert float(slope) == pytest.approx((sums[1] - sums[0]) / 2e-3, rel=0.02)


def test_an_episode_two_periods_late_is_refused() -> None:
    plant = PerturbedPlant(OneScenario(), [Perturbation("delay", 2.0)])
    with pytest.raises(PlantError, match="2 periods late"):
        record(plant, Law(), ["steady_state"] * 2, [1, 2], 60)


@pytest.mark.parametrize("options", [{"observation": "full"}, {"substeps": 2}])
def test_what_the_tensors_do_not_compute_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PlantError, match="leave the options 'observation' and 'substeps'"):
        SCO2Plant(**options).differentiable()
