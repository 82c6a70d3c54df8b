"""The small real plant of these tests."""

from __future__ import annotations

import pytest

from tests.support.tank import Constant, Tank


@pytest.fixture
def tank() -> Tank:
    return Tank()


@pytest.fixture
def make_tank() -> type[Tank]:
    return Tank


@pytest.fixture
def constant() -> type[Constant]:
    return Constant
