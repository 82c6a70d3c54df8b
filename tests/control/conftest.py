"""The small real plant of the evaluation's tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


def _helpers() -> Any:
    path = Path(__file__).parents[1] / "evaluation" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tank_for_control", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tank() -> Any:
    return _helpers().Tank()


@pytest.fixture
def constant() -> Any:
    return _helpers().Constant
