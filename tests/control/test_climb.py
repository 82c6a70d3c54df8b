"""The quasi-Newton ascent on functions whose top is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.control.climb import climb
from gate5.plant.base import Float64


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), condition=st.floats(1.0, 100.0))
def test_it_finds_the_top_of_a_quadratic(seed: int, condition: float) -> None:
    random = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(random.standard_normal((6, 6)))
    curvature = axes @ np.diag(np.geomspace(1.0, condition, 6)) @ axes.T
    top = random.uniform(-2.0, 2.0, 6)

    def values(x: Float64) -> Float64:
        away = x - top
        return np.asarray(-np.einsum("ki,ij,kj->k", away, curvature, away))

    found = climb(values, 6, iterations=60, difference=1e-6, least=1e-9)
    assert values(found[None])[0] > -1e-3
    np.testing.assert_array_equal(found, climb(values, 6, iterations=60, difference=1e-6, least=1e-9))


def test_it_takes_far_fewer_values_than_a_search_would() -> None:
    asked = 0

    def values(x: Float64) -> Float64:
        nonlocal asked
        asked += len(x)
        return np.asarray(-(100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1.0 - x[:, :-1]) ** 2).sum(axis=1))

    found = climb(values, 4, iterations=200, difference=1e-7, least=1e-10)
    assert values(found[None])[0] > -1e-2, "Rosenbrock's valley"
    assert asked < 3000


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_chosen(broken: float) -> None:
    def values(x: Float64) -> Float64:
        good = -((x - 1.0) ** 2).sum(axis=1)
        return np.asarray(np.where(x[:, 0] > 0.5, broken, good))

    found = climb(values, 2, iterations=30, difference=1e-5)
    assert found[0] <= 0.5
    assert np.linalg.norm(found) > 0.3, "and what is finite is climbed"


def test_every_iteration_says_a_larger_value() -> None:
    said: list[float] = []
    climb(
        lambda x: -((x - 3.0) ** 4).sum(axis=1), 3, iterations=20, difference=1e-4,
        say=lambda iteration, value, x: said.append(value),
    )  # fmt: skip
    assert len(said) > 3
    assert said == sorted(said)
