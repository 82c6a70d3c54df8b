"""For all tests: no test fails because the machine is slow, and tests that share something stay together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent

settings.register_profile("gate5", deadline=None)
settings.load_profile("gate5")


#: Folders whose tests share something that takes long to make (an Airflow, an installed release): one worker has them.
TOGETHER = ("dags", "end_to_end", "edge/runtime", "plant/fmu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side (`make test`) a file stays whole on one worker, and so does a folder of ``TOGETHER``."""
    for item in items:
        place = item.path.relative_to(ROOT)
        folders = [folder for folder in TOGETHER if place.is_relative_to(folder)]
        item.add_marker(pytest.mark.xdist_group(folders[0] if folders else str(place)))
