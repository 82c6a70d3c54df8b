"""The quick answer to "is it inside" is the envelope's own, for readings of every kind."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gate5.edge.runtime.watch import _Room
from gate5.evaluation.envelope import Envelope

TURN = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
ENVELOPE = Envelope(
    ("p", "t", "n"), np.full(3, -2.0), np.full(3, 2.0), TURN, np.array([-1.0, -2.5, -2.0]), np.array([1.0, 2.5, 2.0]),
    np.ones(1), np.ones(3, np.int64), 100,
)  # fmt: skip
READINGS = st.one_of(st.floats(-4, 4, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 3e38]))


@given(values=st.lists(READINGS, min_size=3, max_size=3))
def test_the_same_as_outside(values: list[float]) -> None:
    obs = np.array(values, np.float32)
    wide = obs.astype(np.float64)
    found = _Room(ENVELOPE).holds(obs)
    if not np.isfinite(obs).all():
        assert not found
    else:
        seen = TURN @ wide
        edge = min(np.abs(np.abs(seen) - ENVELOPE.direction_high).min(), np.abs(np.abs(wide) - 2.0).min())
        if edge > 1e-9:
            assert found == (ENVELOPE.outside(wide) is None)


def test_a_room_remembers_nothing() -> None:
    """Its buffers are the same in every period."""
    room = _Room(ENVELOPE)
    answers = [
        room.holds(np.array(row, np.float32)) for row in ([0, 0, 0], [9, 0, 0], [0, 0, 0], [np.nan, 0, 0], [1, 1, 1])
    ]
    assert answers == [True, False, True, False, True]
