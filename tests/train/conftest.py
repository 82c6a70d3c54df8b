"""The small real plant of the evaluation's tests."""

from __future__ import annotations

import pytest

from tests.support.tank import Tank


@pytest.fixture
def tank() -> Tank:
    return Tank()
