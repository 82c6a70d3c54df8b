"""The plant that a release judges on: the configured one, behind its declared instruments where these are on."""

from __future__ import annotations

from gate5.config.models import ReleaseConfig
from gate5.errors import PlantError
from gate5.plant.registry import open_plant


def check_scenario(config: ReleaseConfig, scenario: str) -> None:
    """Raise unless a release covers a scenario.

    Raises:
        PlantError: it does not; the text lists those that it covers.
    """
    covered = config.evaluation.scenarios or tuple(open_plant(config.plant).scenarios)
    if scenario not in covered:
        raise PlantError(f"No scenario {scenario!r} in this release; it covers {', '.join(covered)}.")
