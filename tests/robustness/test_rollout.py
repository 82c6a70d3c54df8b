"""Many episodes at once are judged exactly as the evaluator judges few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gate5.config.evaluation import BaselineConfig
from gate5.control.baseline import open_baseline
from gate5.errors import EvaluationError
from gate5.evaluation import Evaluator
from gate5.evaluation.statistics import binomial_upper
from gate5.plant.base import Controller, Float32
from gate5.plant.gymnasium_env import GymnasiumPlant
from gate5.plant.sco2 import SCO2Plant
from gate5.robustness.monte_carlo import Chance, candidate_seeds, estimate
from gate5.robustness.rollout import rollout
from gate5.seeds import PERSONAL, PURPOSES, STREAM, STREAMS, seeds_of

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class Constant:
    """Holds one action; NaN in the episodes of ``broken`` at the fifth step."""

    def __init__(self, value: float, broken: tuple[int, ...] = ()) -> None:
        self.value, self.broken, self.t = value, broken, 0

    def reset(self, batch: int) -> None:
        self.t = 0

    def predict(self, obs: Float32) -> tuple[Float32, None]:
        action = np.full((obs.shape[0], 4), self.value, np.float32)
        self.t += 1
        if self.t == 5:
            action[list(self.broken)] = np.nan
        return action, None


def pid() -> Controller:
    found = open_baseline(BaselineConfig(), SCO2Plant())
    assert found is not None
    return found


@pytest.mark.parametrize("scenario", ["steady_state", "load_following", "emergency_trip"])
@pytest.mark.parametrize("which", ["pid", "constant", "not finite"])
def test_it_agrees_with_the_evaluator(scenario: str, which: str) -> None:
    kinds: dict[str, Callable[[], Controller]] = {
        "pid": pid,
        "constant": lambda: Constant(0.2),
        "not finite": lambda: Constant(0.0, (1, 3)),
    }
    made = kinds[which]
    seeds = list(range(500, 506))
    result, tape = Evaluator(SCO2Plant()).run(made(), scenario, seeds)
    found = rollout(SCO2Plant(), made(), scenario, seeds)
    assert int(found.violating.sum()) == result.violating_episodes
    assert np.allclose(found.returns, np.array(result.returns, dtype=float))
    assert int(found.steps.sum()) == result.steps
    assert np.array_equal(found.shares < 0.0, found.violating)
    for row, constraint in enumerate(result.constraints):
        if constraint.smallest_margin is not None:
            assert found.margins[row].min() == constraint.smallest_margin
            worst = int(np.argmin(found.margins[row]))
            assert (seeds[worst], found.times_s[row, worst]) == (constraint.seed, constraint.time_s)
    positions = np.stack([tape.of(n) for n in ("damper",)])
    assert found.travel[0] > 0.0 or np.ptp(positions) == 0.0


def test_the_batch_changes_nothing() -> None:
    seeds = list(range(7))
    whole, parts = (rollout(SCO2Plant(), pid(), "load_rejection", seeds, batch=b) for b in (7, 3))
    for name in ("returns", "violating", "margins", "times_s", "travel", "steps"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_numbers_need_a_plant_that_declares_them() -> None:
    with pytest.raises(EvaluationError, match="declares no disturbances"):
        rollout(GymnasiumPlant("Pendulum-v1"), Constant(0.0), "default", [1], [{"x": 1.0}])


def test_the_seeds_follow_from_the_candidate_and_no_other_purpose_has_them() -> None:
    ours, other = candidate_seeds(HASH, 3000), candidate_seeds(HASH[::-1], 3000)
    assert candidate_seeds(HASH, 3000) == ours
    assert not set(ours) & set(other)
    everything = range(
        (1 + PURPOSES.index("monte_carlo")) * STREAM * STREAMS, (2 + PURPOSES.index("monte_carlo")) * STREAM * STREAMS
    )
    assert ours[0] in everything
    assert ours[-1] in everything
    for purpose in PURPOSES:
        if purpose != "monte_carlo":
            for stream in (0, 1, 77, STREAMS - 1):
                used = seeds_of(purpose, stream)
                assert used[-1] < everything[0] or used[0] > everything[-1], purpose
    assert everything[0] > PERSONAL


@pytest.mark.parametrize("character", "0f7")
def test_every_hash_gives_seeds_within_its_stream(character: str) -> None:
    used = candidate_seeds(character * 64, 30_000)
    assert len(used) == 30_000
    assert used[0] // STREAM == used[-1] // STREAM


def test_three_thousand_without_a_violation_bound_the_chance_below_a_thousandth() -> None:
    assert binomial_upper(0, 3000, 0.95) == pytest.approx(0.000998, abs=5e-7)
    chance = estimate(SCO2Plant(), Constant(0.2), "steady_state", HASH, 20, 0.95)
    assert chance.violating_episodes == 20
    assert chance.violation_probability_upper == 1.0
    assert Chance.from_dict(chance.to_dict()) == chance
    assert chance.metrics()["evaluation.steady_state.rl.violation_probability_upper"] == 1.0
    again, _ = Evaluator(SCO2Plant()).run(Constant(0.2), "steady_state", [chance.worst_seed])
    assert min(c.smallest_margin for c in again.constraints if c.name == chance.constraint) == chance.margin  # type: ignore[type-var]
