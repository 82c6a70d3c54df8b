"""The page of the interval's coverage measures the interval that the gate judges by, and counts what is above."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interval_coverage import CONFIDENCE, STRICTER, Kind, low_ends, shares
from gate5.evaluation.statistics import paired_bootstrap


@pytest.mark.parametrize("pairs", [2, 7, 50])
def test_many_evaluations_at_once_get_what_the_gate_gives_each(pairs: int) -> None:
    """Else the page tells of another interval than the one that is judged by."""
    differences = np.random.default_rng(1).lognormal(size=(3, pairs))
    ends = low_ends(differences, resamples=300, seed=5)
    for row, low, stricter in zip(differences, ends.percentile, ends.stricter, strict=True):
        for confidence, found in ((CONFIDENCE, low), (STRICTER, stricter)):
            interval = paired_bootstrap(row, confidence=confidence, resamples=300, seed=5)
            assert interval is not None
            assert found == pytest.approx(interval[0], rel=1e-12)


def test_pairs_without_spread_bound_nothing_but_the_percentile_says_that_they_do() -> None:
    rows = np.array([[0.1] * 5, [0.0] * 5])
    ends = low_ends(rows, resamples=200, seed=0)
    assert ends.percentile == pytest.approx([0.1, 0.0])
    assert np.all(np.isneginf(ends.studentised))


def test_one_loss_in_fifty_is_missed_by_too_many_resamples_for_a_studentised_bound() -> None:
    """A third of the resamples have no loss and so no spread: dropped, they would leave a bound that is none."""
    row = np.zeros((1, 50))
    row[0, 7] = -1.0
    assert np.isneginf(low_ends(row, resamples=500, seed=0).studentised[0])


def test_a_studentised_bound_moves_with_its_unit() -> None:
    row = np.random.default_rng(2).standard_normal((1, 30))
    end = low_ends(row, resamples=500, seed=0).studentised[0]
    assert end < row.mean()
    assert low_ends(3.0 * row + 2.0, resamples=500, seed=0).studentised[0] == pytest.approx(3.0 * end + 2.0)


def test_only_low_ends_above_the_mean_count() -> None:
    """Two of three evaluations have every pair above a mean of 0; at the mean itself is not above."""
    column = np.array([[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]])
    found = shares(Kind(lambda generator, shape: column, 0.0), 2, 3)
    assert found["percentile"] == pytest.approx(2 / 3)
    assert (found["bootstrap_t"], found["bootstrap_t_unbounded"]) == (0.0, 1.0)
