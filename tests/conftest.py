"""For all tests: no test fails because the machine is slow, and tests that share something stay together."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent

settings.register_profile("gate5", deadline=None)
settings.load_profile("gate5")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Side by side the workers have all cores already: threads that wait for each other there cost many times the work.
    # Set before anything imports what reads these.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


#: Folders whose tests share something that takes long to make (an Airflow, an installed release): one worker has them.
TOGETHER = ("dags", "end_to_end", "edge/runtime", "plant/fmu")

#: What takes longest begins first, so that no worker is left alone with it at the end.
FIRST = ("end_to_end/", "pipeline/", "dags/", "edge/runtime/", "train/", "checkpoint/", "store/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the folders of ``FIRST`` in its order and then the others; each in the order of its files."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.removeprefix("tests/")
        return next((i for i, folder in enumerate(FIRST) if name.startswith(folder)), len(FIRST))

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=place)


def pytest_collection_finish() -> None:
    """The modules and the thousands of tests stay: the garbage collector need not look through them ever again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Side by side (`make test`) a file stays whole on one worker, and so does a folder of ``TOGETHER``.

    The marks `xdist_group` have no effect with pytest 9.2, whose node ids pytest-xdist 3.8 cannot change.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            place = nodeid.partition("::")[0].removeprefix("tests/")
            return next((folder for folder in TOGETHER if place.startswith(f"{folder}/")), place)

    return ByPlace(config, log)
