"""FMUs that are really built: the sCO2 plant behind FMI 2.0 and 3.0, and what they are asked to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gate5.config.candidate import PlantConfig
from gate5.plant.registry import open_plant


@pytest.fixture(scope="session")
def make_fmu() -> ModuleType:
    """scripts/make_fmu.py."""
    from scripts import make_fmu

    return make_fmu


@pytest.fixture(scope="session")
def fmus(make_fmu: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """FMI version to FMU."""
    pytest.importorskip("fmpy")
    out = tmp_path_factory.mktemp("fmu")
    return {version: make_fmu.build(version, out) for version in (2, 3)}


@pytest.fixture
def options(make_fmu: ModuleType) -> dict[str, Any]:
    """``plant.options`` of the shipped example; each test changes its own copy."""
    found: dict[str, Any] = make_fmu.options()
    return found


@pytest.fixture
def opened(fmus: dict[int, Path], options: dict[str, Any]) -> Callable[..., Any]:
    """``opened(version, **changes)``: the plant, with some options replaced."""

    def open_it(version: int = 2, **changes: Any) -> Any:
        return open_plant(PlantConfig(id=f"fmu:{fmus[version]}", options={**options, **changes}))

    return open_it
