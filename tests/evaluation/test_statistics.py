"""Intervals and bounds against closed forms and known cases."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate5.evaluation.statistics import binomial_upper, deviation, effect_size, mean, paired_bootstrap


@given(trials=st.integers(1, 5000), confidence=st.floats(0.6, 0.999))
def test_zero_seen_is_not_zero(trials: int, confidence: float) -> None:
    assert binomial_upper(0, trials, confidence) == pytest.approx(1 - (1 - confidence) ** (1 / trials), rel=1e-9)


@pytest.mark.parametrize(("events", "trials"), [(1, 20), (3, 50), (7, 8), (49, 50), (12, 700)])
def test_at_the_bound_so_few_events_have_exactly_the_chance_that_is_left(events: int, trials: int) -> None:
    """The definition of Clopper and Pearson, with the tail in exact rational arithmetic."""
    p = Fraction(binomial_upper(events, trials, 0.95))
    tail = sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(events + 1))
    assert float(tail) == pytest.approx(0.05, rel=1e-9)


def test_all_violated_bounds_nothing() -> None:
    assert binomial_upper(10, 10, 0.95) == 1.0


@given(events=st.integers(0, 30), more=st.integers(0, 30))
def test_the_bound_lies_above_what_was_seen_and_grows_with_it(events: int, more: int) -> None:
    trials = events + more + 1
    bound = binomial_upper(events, trials, 0.95)
    assert events / trials < bound <= 1.0
    assert binomial_upper(events + 1, trials, 0.95) >= bound


def test_the_bound_covers_the_true_probability_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    covered = sum(binomial_upper(int(k), 50, 0.9) >= 0.07 for k in random.binomial(50, 0.07, 400))
    assert covered / 400 >= 0.87


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 events in 2 trials"):
        binomial_upper(3, 2, 0.95)


def test_the_bootstrap_is_reproducible_and_covers_the_mean() -> None:
    random = np.random.default_rng(7)
    hits = 0
    for i in range(100):
        interval = paired_bootstrap(random.normal(1.0, 2.0, 40), confidence=0.9, resamples=400, seed=i)
        assert interval is not None
        hits += interval[0] <= 1.0 <= interval[1]
    assert 80 <= hits <= 98
    values = random.normal(size=20)
    assert paired_bootstrap(values, confidence=0.9, resamples=200, seed=1) == paired_bootstrap(
        values, confidence=0.9, resamples=200, seed=1
    )


def test_one_pair_or_a_lost_number_gives_no_interval() -> None:
    assert paired_bootstrap([1.0], confidence=0.95, resamples=100) is None
    assert paired_bootstrap([1.0, np.nan], confidence=0.95, resamples=100) is None
    assert effect_size([1.0]) is None
    assert effect_size([2.0, 2.0]) is None
    assert mean([]) is None
    assert mean([1.0, np.inf]) is None
    assert deviation([1.0]) is None


def test_effect_size_is_the_mean_in_standard_deviations() -> None:
    assert effect_size([1.0, 3.0]) == pytest.approx(2.0 / np.sqrt(2.0))
    assert deviation([1.0, 3.0]) == pytest.approx(np.sqrt(2.0))
