"""The baseline on plain floats gives the bits of the vectorised one, whatever is read and whoever drives."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gate5.config.models import ReleaseConfig
from gate5.control.baseline import open_baseline
from gate5.control.pid import PIDBaseline
from gate5.control.scalar import ScalarBaseline
from gate5.plant.registry import open_plant

CONFIG = ReleaseConfig.load(None)
PLANT = open_plant(CONFIG.plant)
START = PLANT.reset("steady_state", [1])[0].astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.5]), st.floats(0.0, 1.0))
def test_bit_for_bit(seed: int, missing: float, others: float) -> None:
    rng = np.random.default_rng(seed)
    whole = open_baseline(CONFIG.baseline, PLANT)
    assert isinstance(whole, PIDBaseline)
    scalar = ScalarBaseline(whole)
    whole.reset(1)
    obs = START.copy()
    for _ in range(60):
        obs = (obs * (1.0 + rng.normal(0.0, 0.02, obs.size))).astype(np.float32)
        seen = obs.copy()
        bad = rng.random(obs.size) < missing
        seen[bad] = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0], np.float32), bad.sum())
        expected = whole.propose(seen)
        np.testing.assert_array_equal(scalar.propose(seen), expected)
        applied = expected if rng.random() >= others else rng.uniform(-1, 1, expected.size).astype(np.float32)
        whole.track(applied)
        scalar.track(applied)


def test_a_reset_forgets() -> None:
    whole = open_baseline(CONFIG.baseline, PLANT)
    assert isinstance(whole, PIDBaseline)
    scalar = ScalarBaseline(whole)
    first = scalar.propose(START)
    for _ in range(20):
        scalar.track(np.ones_like(first))
        scalar.propose(START)
    assert not np.array_equal(scalar.propose(START), first)
    scalar.reset()
    np.testing.assert_array_equal(scalar.propose(START), first)
