"""Step tests on plants whose answer is known; SIMC's rule; the tuning's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gate5.control import PIDBaseline, PIDController, parse_gains, read_gains
from gate5.control.closed_loop import pairs, quick, worst_margins
from gate5.control.identify import Model, fit, identify, naive
from gate5.control.population import Population
from gate5.control.search import Search
from gate5.control.tune import Tunable, better, hard, search, tune, tune_until, worth
from gate5.io import canonical
from tests.support.tank import Constant, Tank


def response(gain: float, delay: float, lag: float, dt: float, steps: int) -> Any:
    t = dt * np.arange(1, steps + 1)
    return gain * np.where(t > delay, 1.0 - np.exp(-np.maximum(t - delay, 0.0) / lag), 0.0)


@pytest.mark.parametrize(("gain", "delay", "lag"), [(2.0, 4.0, 20.0), (-0.5, 0.0, 30.0), (10.0, 8.0, 8.0)])
def test_a_first_order_response_gives_its_own_numbers_back(gain: float, delay: float, lag: float) -> None:
    model = fit("a", "y", response(gain, delay, lag, 1.0, 300), 1.0)
    assert model.gain == pytest.approx(gain, rel=0.01)
    assert model.lag_s == pytest.approx(lag, rel=0.05)
    assert model.delay_s == pytest.approx(delay, abs=0.6)


def test_simc_gains_control_the_model_that_they_were_made_for() -> None:
    """A sign error or a wrong time unit would leave the loop unstable or far from its set-point."""
    kp, ki = Model("a", "y", -3.0, 2.0, 20.0).simc(1.0)
    assert kp < 0
    pid = PIDController(kp, ki, dt_s=1.0, low=-10.0, high=10.0)
    y, pipe = 0.0, [0.0, 0.0]
    outputs = []
    for _ in range(150):
        pipe.append(float(pid.update(y, 1.0)[0]))
        y += (1.0 / 20.0) * (-3.0 * pipe.pop(0) - y)
        outputs.append(y)
    assert outputs[-1] == pytest.approx(1.0, abs=0.01)
    assert max(outputs) < 1.3


def test_the_tank_is_identified_with_the_right_sign_and_speed(tank: Tank) -> None:
    gains = parse_gains(tank.baseline_gains())
    (model,) = identify(tank, gains, "leak", 5)
    assert (model.channel, model.measurement) == ("pump", "level")
    # Torricelli: level = (0.25 (1 + u) / 0.2)^2, so d level / d u = 2 * 1.25^2 (1 + u), about 3.1 near level 1.5.
    assert 1.5 < model.gain < 4.5
    assert 10.0 < model.lag_s < 80.0
    simple = naive(gains, [model])
    loop = simple.channels[0].loops[0]
    assert (loop.kp, loop.ki) == model.simc(2.0)


def test_the_search_finds_a_known_optimum_and_repeats_itself() -> None:
    target = np.array([1.0, -2.0, 0.5])

    def run() -> Any:
        search = Search(3, population=12, seed=4)
        for _ in range(80):
            x = search.ask()
            scores = -((x - target) ** 2 * [1.0, 10.0, 100.0]).sum(axis=1)
            scores[0] = np.nan
            search.tell(scores)
        return search.mean

    np.testing.assert_allclose(run(), target, atol=1e-3)
    np.testing.assert_array_equal(run(), run())


def test_a_population_is_its_members_one_by_one(tank: Tank) -> None:
    space, actions = tank.observation_space, tank.action_space
    plain = [tank.baseline_gains() for _ in range(2)]
    plain[1]["channels"][0]["loops"][0]["kp"] = 0.2

    gains = [parse_gains(g) for g in plain]

    def make(g: Any) -> PIDBaseline:
        return PIDBaseline.from_gains(g, space.names, actions.low, actions.high, actions.names)

    names, seeds = pairs(tank, 2, 3)
    both = quick(tank, Population(tank, gains), names * 2, seeds * 2)
    single = [quick(tank, make(g), names, seeds).returns for g in gains]
    np.testing.assert_array_equal(both.returns, np.concatenate(single))
    assert single[0].tolist() != single[1].tolist()


def test_tuning_leaves_zeros_and_the_structure_alone_and_improves(tank: Tank) -> None:
    start = parse_gains(tank.baseline_gains())
    tunable = Tunable(start)
    assert tunable.at(np.zeros(tunable.size)) == start
    moved = tunable.at(np.ones(tunable.size)).channels[0].loops[0]
    assert moved.kd == 0.0
    assert moved.kp == pytest.approx(0.8 * np.exp(0.25))
    better = tune(tank, start, iterations=3, episodes=2, seed=0)

    def value(gains: Any) -> float:
        space, actions = tank.observation_space, tank.action_space
        pid = PIDBaseline(gains, space.names, actions.low, actions.high, actions.names)
        return worth(tank, quick(tank, pid, *pairs(tank, 4, 321)))

    assert value(better) > value(start)
    found = search(tank, start, generations=4, population=6, episodes=2, seed=0)
    assert value(found) > value(start)


def test_an_ascent_moves_what_it_may_and_sees_the_hardest_episodes(tank: Tank) -> None:
    start = parse_gains(tank.baseline_gains())
    some = Tunable(start, only=("kp",))
    assert some.size == 1
    moved = some.at(np.ones(1)).channels[0].loops[0]
    assert moved.ki == start.channels[0].loops[0].ki
    assert moved.kp != start.channels[0].loops[0].kp
    assert Tunable(start, only=(start.channels[0].action,)).size == Tunable(start).size
    names, seeds = hard(tank, start, 2, 8, 500)
    assert {name: names.count(name) for name in tank.scenarios} == dict.fromkeys(tank.scenarios, 2)
    space, actions = tank.observation_space, tank.action_space
    pid = PIDBaseline(start, space.names, actions.low, actions.high, actions.names)
    score = quick(tank, pid, *pairs(tank, 8, 500))
    for name, margins in score.by_scenario(score.margins / np.array([[1e-9]])).items():
        closest = 500 + int(np.argmin(margins.min(axis=0)))
        assert closest in [seed for n, seed in zip(names, seeds, strict=True) if n == name]
    assert hard(tank, start, 0, 8, 500) == ([], [])


def test_rounds_keep_only_what_checking_seeds_agree_with(tank: Tank) -> None:
    start = parse_gains(tank.baseline_gains())
    kept: list[Any] = []
    best, history = tune_until(tank, start, 2, 1e9, kept.append, iterations=2, generations=2, population=6, episodes=2)
    assert [(row["kind"], row["round"]) for row in history] == [("ascent", 0), ("search", 0)], "the target is met"
    assert kept[-1] == best
    agreed, gained = better(tank, start, best)
    assert agreed == any(row["kept"] for row in history)
    assert set(gained) == set(tank.scenarios)
    assert better(tank, best, best)[0] is False, "as good is not better"


def test_the_objective_pays_for_violations_and_for_grazing(tank: Tank, constant: type[Constant]) -> None:
    names, seeds = pairs(tank, 2, 3)
    good = quick(tank, constant(0.0), names, seeds)
    bad = quick(tank, constant(1.0), names, seeds)
    assert bad.violations.sum() > 0
    assert worth(tank, bad) < worth(tank, good) - 10.0
    assert worst_margins(tank, bad)["leak"]["overflow"] < 0


def test_the_shipped_structure_and_gains_fit_the_shipped_plant() -> None:
    from gate5.plant.sco2 import plant as module

    plant = module.SCO2Plant()
    gains = plant.baseline_gains()
    assert gains is not None
    folder = Path(module.__file__).parent
    structure = read_gains(folder / "pid_structure.json")
    tuned = parse_gains(gains)
    space, actions = plant.observation_space, plant.action_space
    PIDBaseline(tuned, space.names, actions.low, actions.high, actions.names)
    assert [c.action for c in tuned.channels] == [c.action for c in structure.channels]
    assert canonical.loads((folder / "pid_gains.json").read_bytes())["about"]
