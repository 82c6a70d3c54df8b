"""The page of what is possible: its arithmetic, and a predictive controller that is no worse than what it corrects."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import possible
from benchmarks.predictive import Predictive, Shooting
from gate5.control.closed_loop import QuickScore
from gate5.plant.base import objective
from gate5.plant.sco2 import SCO2Plant


def score(returns: list[float], violations: list[float], term: float) -> QuickScore:
    count = len(returns)
    terms = np.full((len(objective(SCO2Plant())), count), term)
    return QuickScore(
        ("steady_state",) * count, np.array(returns), np.array(violations), np.zeros((1, count)), np.zeros(count), terms
    )


def found(pid: float, mpc: float, policy: float, broken: float = 0.0) -> dict[str, Any]:
    scores = {
        "PID": score([pid - 1.0, pid + 1.0], [0.0, 3.0], 2.0), "MPC": score([mpc, mpc], [0.0, broken], 1.0),
        "policy": score([policy, policy], [0.0, 0.0], 1.5),
    }  # fmt: skip
    return possible.measured(SCO2Plant(), scores, 100)


def test_rewards_are_in_per_cent_of_a_step_and_episodes_that_violate_are_counted() -> None:
    rows = found(80.0, 90.0, 82.0)["controllers"]
    assert rows["PID"]["reward_percent"] == pytest.approx(80.0)
    assert rows["PID"]["violating_episodes"] == 1
    assert set(rows["MPC"]["terms"].values()) == {1.0}


@pytest.mark.parametrize(
    ("mpc", "policy", "won"),
    [
        (90.0, 82.0, 0.2),
        (90.0, 90.0, 1.0),
        (90.0, 79.0, -0.1),
        (90.0, 95.0, 1.5),
        (80.01, 80.01, None),
        (70.0, 90.0, None),
    ],
)
def test_the_share_won(mpc: float, policy: float, won: float | None) -> None:
    assert found(80.0, mpc, policy)["share_won"] == (won if won is None else pytest.approx(won))


def test_a_mark_that_breaks_a_limit_is_none() -> None:
    assert found(80.0, 90.0, 82.0, broken=1.0)["share_won"] is None


def test_the_page_and_its_picture_say_the_numbers() -> None:
    result = {
        "episodes": 2, "shooting": {"horizon": 24},
        "scenarios": {"steady_state": found(80.0, 90.0, 82.0), "load_following": found(80.0, 80.0, 81.0)},
    }  # fmt: skip
    text = possible.text(SCO2Plant(), result)
    assert "| steady_state | +10.000 | +2.000 | 20 % |" in text
    assert "| load_following | +0.000 | +1.000 | - |" in text
    svg = "{http://www.w3.org/2000/svg}"
    marks = list(ElementTree.fromstring(possible.picture(result)).iter(f"{svg}circle"))
    assert len(marks) >= 4, "a dot for each controller and scenario"


def test_a_plan_is_worth_no_less_than_none_and_the_copies_never_move_the_plant() -> None:
    plant = SCO2Plant()
    obs = plant.reset_mixed(["load_rejection"] * 2, [1, 2])
    mpc = Predictive(plant, lambda: possible.loops(plant), Shooting(horizon=12, samples=8, rounds=2))
    mpc.reset(2)
    before = plant._batch.variables()  # type: ignore[union-attr]
    mpc.predict(obs)
    after = plant._batch.variables()  # type: ignore[union-attr]
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    costs = mpc._costs(obs, np.stack([mpc._plan, np.zeros_like(mpc._plan)], axis=1))
    assert (costs[:, 0] <= costs[:, 1]).all()
    assert (costs[:, 0] < costs[:, 1]).any(), "some correction helps"


def test_a_copy_of_an_episode_goes_on_as_the_episode_does_while_nothing_new_happens() -> None:
    plant = SCO2Plant()
    plant.reset("steady_state", [1, 2])
    action = np.zeros((2, 4), np.float32)
    plant.step(action)
    twin = plant.fork(3)
    step = twin.step(np.repeat(action, 3, axis=0))
    pressure = step.variables["high_pressure"].reshape(2, 3)
    assert (pressure == pressure[:, :1]).all()
    assert plant.step(action).variables["high_pressure"] == pytest.approx(pressure[:, 0], abs=1e-3)
