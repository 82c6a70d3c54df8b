"""Small probabilities against a known answer, and whether the intervals hold as often as they say."""

from __future__ import annotations

import os
from statistics import NormalDist

import numpy as np
import pytest

from gate5.evaluation.statistics import binomial_upper
from gate5.robustness.splitting import Vector, split

SIZE = 6
REPETITIONS = 1000 if "GATE5_LONG" in os.environ else 250
TAIL = NormalDist()


def gaussian(x: Vector) -> Vector:
    """The sum of the components over its own deviation: standard normal, so that the tail is known."""
    return np.asarray(x.sum(axis=1) / np.sqrt(x.shape[1]))


@pytest.mark.parametrize("limit", [2.0, 4.0, 5.5])
def test_a_gaussian_tail(limit: float) -> None:
    known = 1.0 - TAIL.cdf(limit) if limit < 5 else 1.8989562465887719e-08
    found = split(gaussian, SIZE, limit, points=1000, seed=1)
    assert found.low < known < found.high
    assert found.probability == pytest.approx(known, rel=0.35)
    assert found.evaluations < 400_000, "drawing alone would take 10 / p"
    assert split(gaussian, SIZE, limit, points=1000, seed=1) == found


def test_the_interval_of_a_rare_event_holds_when_it_is_repeated() -> None:
    limit = 3.0
    known = 1.0 - TAIL.cdf(limit)
    found = [split(gaussian, 2, limit, points=100, seed=seed) for seed in range(REPETITIONS)]
    covered = np.mean([f.low <= known <= f.high for f in found])
    assert 0.92 <= covered <= 0.99, covered
    assert np.mean([f.probability for f in found]) == pytest.approx(known, rel=0.08), "unbiased"


def test_the_bound_of_what_was_drawn_holds_in_a_thousand_repetitions() -> None:
    """Clopper-Pearson promises at least its confidence for every probability."""
    rng = np.random.default_rng(3)
    for known in (0.0002, 0.001, 0.02):
        events = rng.binomial(3000, known, 1000)
        bounds = {int(n): binomial_upper(int(n), 3000, 0.95) for n in np.unique(events)}
        covered = np.mean([known <= bounds[int(n)] for n in events])
        assert covered >= 0.935, (known, covered)  # 0.95 less two deviations of a thousand repetitions


def test_a_budget_that_ends_first_says_so() -> None:
    found = split(gaussian, SIZE, 9.0, points=50, seed=1, most=500)
    assert found.exhausted
    assert found.low == 0.0
    assert found.probability > 1e-3


@pytest.mark.parametrize(("points", "moves"), [(1, 5), (100, 0)])
def test_what_is_no_splitting_is_refused(points: int, moves: int) -> None:
    with pytest.raises(ValueError, match="are no splitting"):
        split(gaussian, SIZE, 3.0, points=points, seed=1, moves=moves)
